"""`.perdure/stack.json`: what the parts that run here say of themselves; Settings reads it below the environment."""

import fcntl
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from contracts.errors import StackError
from devstack.processes import write_atomically
from settings import Settings

NAME = "stack.json"


def read(settings: Settings) -> dict[str, Any]:
    """Return what the file says, or nothing."""
    try:
        return json.loads((settings.state / NAME).read_text())
    except FileNotFoundError:
        return {}


def write(settings: Settings, said: Mapping[str, Any]) -> None:
    """Replace the file, or remove it if there is nothing to say."""
    if said:
        write_atomically(settings.state / NAME, json.dumps(said, indent=2) + "\n")
    else:
        (settings.state / NAME).unlink(missing_ok=True)


def reread(settings: Settings, before: Mapping[str, Any]) -> Settings:
    """Return the settings as a process reads them that starts now; ``before`` is the file as they were made with."""
    said = read(settings)
    kept = {name: value for name, value in settings if value is not None and name not in said and plain(value) != before.get(name)}
    return type(settings)(**kept)


def plain(value: object) -> object:
    """Return a setting as the file has it."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@contextmanager
def alone(settings: Settings) -> Generator[None]:
    """Hold the stack while it is changed.

    Raises: StackError if another `up` or `down` is at it.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(f"another `up` or `down` is at work on {settings.state}: wait for it") from error
        yield
