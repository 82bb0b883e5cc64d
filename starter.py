"""The client: `starter.py --help` lists what it can do."""

import os
import sys
from contextlib import suppress

import structlog
import typer

from channels.cli import (
    approvals,
    automations,
    calendar,
    console,
    demo,
    memory,
    operate,
    people,
    reconcile,
    runs,
    show,
    slack,
    stack,
    tools,
    undo,
)

COMMANDS = (demo, stack, automations, runs, show, operate, approvals, people, console, slack, calendar, tools, undo, reconcile, memory)
"""In the order in which `--help` lists them."""


def main() -> None:
    """Parse the command line and call the command."""
    # What is printed is the command's answer; a log beside it would end up among the data.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Durable execution for AI agents.")
    for commands in COMMANDS:
        commands.register(app)
    try:
        app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))


def leave(code: int) -> None:
    """End at once: a thread of Temporal's client that is still handing back an answer aborts an interpreter that is closing down."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
