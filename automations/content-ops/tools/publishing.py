"""What every channel publishes, and when it is due."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, Field

from tools import Due, ToolContext, ToolFailed

from .pieces import Channel, own
from .text import Body, Line


class Publish(BaseModel):
    """What is shown to the person is what is published: title and text are arguments, not looked up."""

    draft: str
    entry: str
    title: Line = Field(min_length=1, max_length=120)
    text: Body = Field(min_length=1, max_length=20_000)


async def slot(arguments: Publish, context: ToolContext) -> Due:
    """Return when a piece is due. Raises: ToolFailed where its entry is gone or held back."""
    entry = await own(context, "calendar", arguments.entry)
    await own(context, "draft", arguments.draft)
    if entry["state"] != "planned":
        raise ToolFailed(f"the calendar's entry {arguments.entry} is {entry['state']}, not planned")
    try:
        at = datetime.fromisoformat(entry["at"])
    except (TypeError, ValueError):
        raise ToolFailed(
            f"the calendar's entry {arguments.entry} has no time but {entry['at']!r}; write 2030-01-31T09:00:00+00:00"
        ) from None
    grace = timedelta(seconds=int(context.settings["grace_seconds"]))
    return Due(at if at.tzinfo else at.replace(tzinfo=UTC), context.settings["missed"], grace)


class Published(BaseModel):
    channel: Channel
    ref: str
