"""What a part of the stack is, and the usual kind: one process with a pid file and ports."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from contracts.errors import StackError
from devstack import stack_file
from devstack.processes import Process, require_free
from devstack.progress import Progress
from settings import ROOT, Settings


class Part(Protocol):
    """One part of the stack."""

    @property
    def name(self) -> str: ...

    @property
    def ports(self) -> tuple[str, ...]:
        """The settings that hold its ports, the one it is reached by first."""
        ...

    def says(self, settings: Settings, /) -> dict[str, Any]:
        """Return what stack.json says while it runs: values of Settings."""
        ...

    def where(self, settings: Settings, /) -> str:
        """Return what it is reached by."""
        ...

    def log(self, settings: Settings, /) -> Path: ...

    def pid(self, settings: Settings, /) -> int | None: ...

    async def running(self, settings: Settings, /) -> bool:
        """Tell whether it is there as these settings want it, and answers."""
        ...

    def check(self, settings: Settings, /) -> None:
        """Raises: StackError if it could not be started."""
        ...

    async def start(self, settings: Settings, progress: Progress, /) -> None: ...

    async def stop(self, settings: Settings, /) -> None: ...


@dataclass(frozen=True)
class Daemon:
    """A part that is one process with a pid file and ports."""

    name: str
    title: str
    ports: tuple[str, ...]
    command: Callable[[Settings, Progress], Awaitable[list[str]]]
    answers: Callable[[Settings], Awaitable[bool]]
    says: Callable[[Settings], dict[str, Any]] = lambda _: {}
    require: Callable[[], None] = lambda: None
    given: Callable[[Settings], dict[str, str]] = lambda _: {}
    """What stands in its environment beside the settings."""
    seconds: float = 30.0
    """How long a start may take."""
    grace: float = 10.0

    def process(self, settings: Settings) -> Process:
        """Return the process, running or not."""
        return Process(settings.state / self.name)

    def log(self, settings: Settings) -> Path:
        return self.process(settings).log

    def where(self, settings: Settings) -> str:
        return f"127.0.0.1:{getattr(settings, self.ports[0])}" if self.ports else "no port of its own"

    def pid(self, settings: Settings) -> int | None:
        return self.process(settings).pid

    async def running(self, settings: Settings) -> bool:
        # A port that answers is not enough: it may be another's.
        return self.pid(settings) is not None and await self.answers(settings)

    def check(self, settings: Settings) -> None:
        self.require()
        if self.pid(settings) is None:
            for port in self.ports:
                require_free(getattr(settings, port), wanted_by=self.title, variable=f"PERDURE_{port.upper()}")

    async def start(self, settings: Settings, progress: Progress) -> None:
        """Start it, unless it is running or still coming up as the settings want it."""
        self.check(settings)
        process = self.process(settings)
        command = await self.command(settings, progress)
        progress(self.name, "starting")
        if not process.runs(command):
            await process.stop(self.grace)
            process.start(command, cwd=ROOT, environment=environment(settings) | self.given(settings))
        try:
            await process.ready(lambda: self.answers(settings), seconds=self.seconds)
        except StackError:
            # A part that hangs must not be found "still coming up" the next time.
            await process.stop(self.grace)
            raise

    async def stop(self, settings: Settings) -> None:
        await self.process(settings).stop(self.grace)


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process reads these settings, where they differ from the defaults.

    What stack.json says is left out, since the process reads it there; secrets and the names of others are inherited as they are.
    """
    left_out = stack_file.read(settings).keys() | {"database_url", "owner_database_url"}
    left_out |= {name for name, field in type(settings).model_fields.items() if field.validation_alias}
    given = settings.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
    return {f"PERDURE_{name.upper()}": str(value) for name, value in given.items()}
