"""What goes wrong with the fake Slack, so many times."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Signature = Literal["good", "bad", "stale", "early", "words", "missing"]


class Faults(BaseModel):
    """Each counts down; the defaults are a day without faults."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    rate_limited: int = Field(0, ge=0)
    """So many calls of the Web API get a 429,"""
    retry_after: int = Field(1, ge=0)
    """which asks to wait so many seconds."""
    server_errors: int = Field(0, ge=0)
    lost_replies: int = Field(0, ge=0)
    """So many calls of `chat.postMessage` are done while their reply is cut."""
    slow: float = Field(0, ge=0)
    """Seconds that each call of the Web API takes."""
    delivered_twice: int = Field(0, ge=0)
    """So many deliveries come again, as after an answer that came too late."""
    replayed: int = Field(0, ge=0)
    """So many are sent again byte for byte, as somebody would who listened."""
    signature: Signature = "good"
    """How deliveries are signed: by another key, ten minutes late or early, with a time that is no number, or not at all."""
    trigger_seconds: float = Field(3.0, ge=0)
    """How long a form can be opened after the press that asks for it."""
    dropped_sockets: int = Field(0, ge=0)
    """So many envelopes are sent over a socket that closes before their answer, and come again over the next."""

    def take(self, name: str) -> bool:
        """Count one down; return whether there was one."""
        left = getattr(self, name)
        if left:
            setattr(self, name, left - 1)
        return bool(left)
