"""The base of every message: frozen, and only ever gaining fields."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen value; fields it does not know are left out, so that an older worker can read a newer message."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Strict(BaseModel):
    """A frozen value that people write by hand; a field it does not know is a mistake worth naming."""

    model_config = ConfigDict(frozen=True, extra="forbid")
