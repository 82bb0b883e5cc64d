"""Tools: what an agent may do, how each is made safe, and who runs it.

An automation's own code imports from here: `tool`, `ToolContext`, `Due` and the errors a tool may raise.
"""

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.contract import Due, Lookup, Tool, ToolContext, tool
from tools.documents import Document, Documents

__all__ = [
    "Document",
    "Documents",
    "Due",
    "Lookup",
    "Tool",
    "ToolContext",
    "ToolFailed",
    "ToolRetry",
    "ToolUnknown",
    "TransientError",
    "tool",
]
