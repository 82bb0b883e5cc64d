"""The command `/perdure`: list, show, why, pause, resume."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from channels import explain, standing
from channels.acts import NEEDS, obstacle
from channels.card import card
from channels.desk import Filters
from channels.slack import home, who
from channels.slack.markup import Block, clipped, leaf, line, mrkdwn, paragraph
from channels.slack.message import message
from channels.slack.parts import ANSWER_SECONDS, Parts
from channels.slack.who import CHANNEL
from contracts.errors import BadInput, PerdureError
from contracts.operations import Word
from ledger import runs
from ledger.directory import Person
from ledger.runs import RunRow

Ack = Callable[..., Awaitable[Any]]
HELP = (
    "`/perdure list` what waits for you (`list all`: for anybody), `/perdure show ID` one request, `/perdure why RUN` what a run did, "
    "`/perdure pause RUN [reason]`, `/perdure resume RUN [reason]`"
)
MOST, MOMENTS, MOMENT = 15, 25, 300
SLOW = "this takes longer than Slack waits; ask again in a moment"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command is answered with, for the eyes of who typed it."""

    text: str
    blocks: list[Block] = field(default_factory=list[Block])


class Commands:
    """Each word of `/perdure`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def typed(self, ack: Ack, body: dict[str, Any]) -> None:
        """Answer one command within Slack's time."""
        answering = self._parts.work.start(self._answer(body), "/perdure")
        try:
            answer = await asyncio.wait_for(asyncio.shield(answering), ANSWER_SECONDS)
        except TimeoutError:
            answer = Answer(SLOW)
        await ack(response_type="ephemeral", text=answer.text, blocks=answer.blocks or None)

    async def _answer(self, body: dict[str, Any]) -> Answer:
        sender = await who.sender(self._parts.database, self._parts.tenant, body)
        word, _, rest = " ".join(str(body.get("text") or "").split()).partition(" ")
        if (person := who.known(sender)) is None:
            await who.refused(self._parts.refusals, self._parts.tenant, sender.name, f"/perdure {word}"[:100], "nobody known")
            return Answer(mrkdwn(sender.stranger, 500))
        words = {"list": self._list, "show": self._show, "why": self._why, "pause": self._pause, "resume": self._resume}
        if word not in words:
            return Answer(HELP if word in ("", "help") else f"there is no `{mrkdwn(word, 40).replace('`', '')}`; there is: {HELP}")
        try:
            return await words[word](person, rest)
        except PerdureError as error:
            return Answer(mrkdwn(error, 500))

    async def _list(self, person: Person, rest: str) -> Answer:
        found = await self._parts.desk.open(self._parts.tenant, person, Filters(mine=rest != "all", limit=MOST + 1))
        blocks = [home.brief(card(request)) for request in found[:MOST]]
        if len(found) > MOST:
            blocks.append(paragraph(leaf(f"These are the oldest {MOST}; there are more.", italic=True)))
        nothing = "nothing waits for anybody" if rest == "all" else "nothing waits for you; `/perdure list all` has what waits for others"
        return Answer("what waits" if found else nothing, blocks)

    async def _show(self, person: Person, rest: str) -> Answer:
        shown = await self._parts.desk.card(self._parts.tenant, rest) if rest else None
        if shown is None:
            raise BadInput(f"there is no request {line(rest, 60)!r}: /perdure list all shows those that wait")
        await self._parts.desk.look(self._parts.tenant, shown.request, person, CHANNEL)
        rendered = message(shown)
        return Answer(rendered.text, rendered.blocks)

    async def _why(self, person: Person, rest: str) -> Answer:
        found = await self._run(rest)
        async with self._parts.database.transaction(self._parts.tenant) as tx:
            explained = await explain.explain(tx, found)
        head = f"{line(found.workflow_id, 100)} ({found.automation}) is {found.status}; {standing.spent(explained)}"
        said = [f"{moment.at:%m-%d %H:%M:%S} {line(moment.text, MOMENT)}" for moment in explained.timeline[-MOMENTS:]]
        left = len(explained.timeline) - len(said)
        first = [f"({left} earlier moments are left out: `starter.py show` has them)"] if left else []
        blocks = [paragraph(leaf(head, bold=True))]
        blocks += [paragraph(leaf(clipped(text, MOMENT + 20, 3))) for text in [*first, *standing.standing(explained, None), *said][:45]]
        return Answer(mrkdwn(head, 300), blocks)

    async def _pause(self, person: Person, rest: str) -> Answer:
        return await self._operated(person, "pause", rest)

    async def _resume(self, person: Person, rest: str) -> Answer:
        return await self._operated(person, "resume", rest)

    async def _operated(self, person: Person, what: str, rest: str) -> Answer:
        name, _, reason = rest.partition(" ")
        if why := obstacle(person, NEEDS[what]):
            await who.refused(self._parts.refusals, self._parts.tenant, person.id, what, why)
            return Answer(mrkdwn(why, 300))
        found, word = await self._run(name), Word(by=person.id, reason=reason[:500])
        change = self._parts.operator.pause if what == "pause" else self._parts.operator.resume
        return Answer(mrkdwn((await change(found, word)).message, 500))

    async def _run(self, name: str) -> RunRow:
        async with self._parts.database.transaction(self._parts.tenant) as tx:
            found = await runs.find(tx, name) if name else None
        if found is None:
            raise BadInput(f"there is no run {line(name, 60)!r}: name it by its workflow ID")
        return found
