"""One request of somebody who was let in, with what a page needs to answer it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import HTMLResponse

from channels.console.house import House
from channels.operating import Operator
from contracts.errors import BadInput
from contracts.operations import Word
from ledger import runs
from ledger.alerts import Alert
from ledger.directory import Person, Role
from ledger.runs import RunRow

CHANNELS: dict[str, str] = {"session": "web", "token": "api"}


class NotFound(BadInput):
    """There is no such thing."""


@dataclass
class Visit:
    """A request, who makes it, and in which tenant. way: how the person proved who they are."""

    request: Request
    house: House
    tenant: str
    person: Person
    way: Literal["session", "token"]
    csrf: str = ""
    """What a form of this session has to say; a token needs none."""
    alerts: tuple[Alert, ...] = ()
    """What the person has to be told on whatever page it is."""

    @property
    def channel(self) -> str:
        """The name of this channel on record."""
        return CHANNELS[self.way]

    @property
    def partial(self) -> bool:
        """Whether the page asks for a part of itself."""
        return self.request.headers.get("hx-request") == "true" and self.request.headers.get("hx-history-restore-request") != "true"

    def may(self, role: Role) -> bool:
        """Whether the person's role reaches so far."""
        return self.person.at_least(role)

    def query(self, name: str, default: str = "") -> str:
        """Return a value of the address."""
        return self.request.query_params.get(name, default)

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    async def form(self) -> dict[str, str]:
        """Return the form's fields, of which each counts once."""
        return {name: value for name, value in (await self.request.form(max_files=0)).items() if isinstance(value, str)}

    def word(self, reason: str = "") -> Word:
        """Return what a person says to a run, in their name."""
        return Word(by=self.person.id, reason=reason)

    @cached_property
    def operator(self) -> Operator:
        """What operates this tenant's runs."""
        house = self.house
        return Operator(house.database, house.connect, house.wake, house.settings.task_queue, self.tenant, self.channel)

    async def run(self) -> RunRow:
        """Return the run that the path names. Raises: NotFound."""
        name = self.part("run")
        async with self.house.database.transaction(self.tenant) as tx:
            found = await runs.find(tx, name)
        if found is None:
            raise NotFound(f"there is no run {name[:80]!r} here")
        return found

    def page(self, template: str, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> HTMLResponse:
        """Render a template for this person."""
        text = self.house.templates.render(template, visit=self, **values)
        return HTMLResponse(text, status, headers)
