"""What an HTTP answer means for whoever called: it did, it surely did not, it may have, or what was asked was wrong."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.calls import struck
from tools.fetch import Answer
from tools.invisible import visible

LONGEST_WAIT = 3600.0
MOST_SAID = 300
NOT_YET = frozenset({409, 425, 429})
"""Answers of a server that has not done it: another call of this key is at work there, it is too early, or there are too many."""


def settled(answer: Answer, who: str, *, acts: bool, secrets: Mapping[str, str], credential: str = "") -> Answer:
    """Return an answer that says yes.

    who: names the server. acts: whether the call changes something there. credential: the name of the secret that it was sent.
    Raises: TransientError where it surely did not act, or does not act at all; ToolUnknown where it may have; ToolRetry where the
    arguments are wrong; ToolFailed where it refused.
    """
    status, wait = answer.status, retry_after(answer.headers.get("retry-after", ""))
    if 200 <= status < 300:
        return answer
    message = f"{who} said {status}{said(answer, secrets)}"
    if acts and answer.done:
        raise ToolUnknown(f"{message}, after it had led us on to what came of it; it may have acted")
    if status in NOT_YET or (status == 503 and wait is not None):
        raise TransientError(message, retry_after=wait)
    if status == 408 or status >= 500:
        raise ToolUnknown(f"{message}; it may have acted") if acts else TransientError(message, retry_after=wait)
    if status in (400, 422):
        raise ToolRetry(message)
    if status in (401, 403):
        raise ToolFailed(f"{message}: look at the secret {credential}" if credential else f"{message}: it wants to know who calls")
    raise ToolFailed(message)


def retry_after(value: str) -> float | None:
    """Return the seconds that a `Retry-After` asks for, at most an hour; None where it says nothing. Source: RFC 9110, 10.2.3."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT)


def said(answer: Answer, secrets: Mapping[str, str]) -> str:
    """Return what a server says of its refusal, on one line and not much of it; nothing where it shows a page for people."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.endswith("json") or kind == "text/plain"):
        return ""
    try:
        # However it is escaped there, a secret is found in what it stands for.
        text = json.dumps(struck(decoded(answer), secrets), ensure_ascii=False)
    except ValueError:
        text = answer.text
    # Before it is cut: half of a secret is not found any more.
    text = one_line(struck(text, secrets), MOST_SAID)
    return f": {text}" if text else ""


def decoded(answer: Answer) -> Any:
    """Return an answer's JSON. Raises: ValueError."""
    try:
        return json.loads(answer.body.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def one_line(text: str, most: int) -> str:
    """Return a text on one line, without what nobody can see, and no more than ``most`` characters of it."""
    line = " ".join(visible(text[: most * 20]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
