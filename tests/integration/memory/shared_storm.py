"""Many writers on one shared document at once, and what must hold of it afterwards.

python -m tests.integration.memory.shared_storm --edits 10000
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Any

from pycrdt import Doc, Map, Text

from database import Database, Tx
from memory.shared import conflicts, documents
from memory.shared.conflicts import COLUMNS, Conflict, Verdict
from memory.shared.documents import Answer
from memory.shared.edits import Add, Change, Edit, Operation, Put, Rewrite, Splice, Update, Write
from memory.writes import WriteKey
from tests import servers

FIELDS = {
    "versioned": "versioned", "lww": "lww", "escalate": "escalate", "counter": "crdt:counter", "set": "crdt:set", "map": "crdt:map",
    "text": "crdt:text",
}  # fmt: skip
KEYS = "abcdef"
RECORDED = f"SELECT {COLUMNS} FROM shared_conflict WHERE tenant = $1 AND document = $2 ORDER BY at, id"  # noqa: S608


@dataclass(frozen=True)
class Made:
    """One edit and its answer. wrote: what it wanted to stand, by key; None where the key was to be gone."""

    edit: Edit
    answer: Answer
    wrote: dict[str, Any] = field(default_factory=dict)


@dataclass
class Storm:
    """A document that several writers edit without waiting for each other."""

    database: Database
    document: str
    chance: random.Random
    made: list[Made] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    repeats: int = 0
    peers: list["Peer"] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: count(1))

    async def blow(self, edits: int, writers: int = 6) -> None:
        """Make so many edits, settle what escalates meanwhile, and bring everybody's replica up to date."""
        async with self.database.transaction("default") as tx:
            await documents.declare(tx, self.document, FIELDS, by="storm")
        left = iter(range(edits))
        crowd: list[Any] = [Writer(self, f"w{nth}").work(left) for nth in range(writers)]
        self.peers = [Peer(self, f"peer{nth}", name, 100 + nth) for nth, name in enumerate(("map", "map", "text", "text"))]
        crowd += [peer.work(left) for peer in self.peers]
        over = asyncio.Event()
        person = asyncio.create_task(self.rule(over))
        try:
            await asyncio.gather(*crowd)
        finally:
            over.set()
            await person

    async def edit(self, edit: Edit, wrote: dict[str, Any]) -> Answer:
        """Make one edit, and some again as a retry would: the first answer is what all of them get."""
        key = WriteKey(self.document, edit.writer, next(self.numbers))
        first = await self._edit(key, edit)
        self.made.append(Made(edit, first, wrote))
        if self.chance.random() < 0.15:
            self.repeats += 1
            for one in await asyncio.gather(self._edit(key, edit), self._edit(key, edit)):
                assert (one.outcome, one.version, _ids(one)) == (first.outcome, first.version, _ids(first))
        return first

    async def _edit(self, key: WriteKey, edit: Edit) -> Answer:
        async with self.database.transaction("default") as tx:
            return await documents.edit(tx, key, edit)

    async def rule(self, over: asyncio.Event) -> None:
        """Settle what is open, one way or another, until all is over."""
        while not over.is_set():
            async with self.database.transaction("default") as tx:
                for conflict in await conflicts.open_ones(tx):
                    value = self.chance.choice([conflict.lost, conflict.kept, f"olga-{conflict.id}"])
                    await conflicts.settle(tx, conflict.id, Verdict("other", "olga", "so", value))
            await asyncio.sleep(0.02)

    async def read(self) -> dict[str, documents.Field]:
        """Return what stands."""
        async with self.database.transaction("default") as tx:
            return await documents.read(tx, self.document)

    async def conflicts(self) -> list[Conflict]:
        """Return all that was recorded."""
        async with self.database.transaction("default") as tx:
            return await recorded(tx, self.document)


async def recorded(tx: Tx, document: str) -> list[Conflict]:
    """Return a document's conflicts, oldest first."""
    return [Conflict.from_row(row) for row in await tx.fetch(RECORDED, tx.tenant, document)]


def _ids(answer: Answer) -> list[str]:
    return [one.id for one in answer.conflicts]


class Writer:
    """Edits any field, on the version that it has seen last, which may be an old one."""

    def __init__(self, storm: Storm, name: str) -> None:
        self.storm, self.name, self.chance = storm, name, storm.chance
        self.seen: dict[str, tuple[int, Any]] = {}

    async def work(self, left: Any) -> None:
        for _ in left:
            if not self.seen or self.chance.random() < 0.3:
                self.seen = {name: (found.version, found.value) for name, found in (await self.storm.read()).items()}
            name = self.chance.choice(list(FIELDS))
            version, value = self.seen[name]
            operation, wrote = self.operation(name, value)
            answer = await self.storm.edit(Edit(self.storm.document, name, self.name, operation, version), wrote)
            if self.chance.random() < 0.6:
                self.seen[name] = answer.version, answer.value

    def operation(self, name: str, value: Any) -> tuple[Operation, dict[str, Any]]:
        unique = f"{self.name}-{next(self.storm.numbers)}"
        element = self.chance.choice(KEYS)
        match name:
            case "counter":
                return Add(amount := self.chance.randint(-9, 9)), {"": amount}
            case "set":
                adds = self.chance.random() < 0.6
                return (Change(add=(element,)) if adds else Change(remove=(element,))), {element: adds}
            case "map":
                if self.chance.random() < 0.2:
                    return Write(drop=(element,)), {element: None} if element in value else {}
                return Write(((element, unique),)), {element: unique}
            case "text":
                return Rewrite((self.splice(value, f"<{unique}>"),)), {}
            case _:
                return Put(unique), {"": unique}

    def splice(self, text: str, token: str) -> Splice:
        ends = [at for at in range(len(text) + 1) if at in (0, len(text)) or text[at - 1] == ">"]
        at = self.chance.choice(ends)
        end = next((other for other in ends if other > at), at) if self.chance.random() < 0.3 else at
        if text[at:end]:
            self.storm.deleted.add(text[at:end])
        self.storm.tokens.add(token)
        return Splice(at, end - at, token)


class Peer:
    """Has a replica of its own of one field, edits that, and joins it now and then."""

    def __init__(self, storm: Storm, name: str, replicated: str, client: int) -> None:
        self.storm, self.name, self.field = storm, name, replicated
        self.doc: Doc[Any] = Doc(client_id=client)
        self.root: Any = self.doc.get("value", type=Map if replicated == "map" else Text)
        self.version = 0

    async def work(self, left: Any) -> None:
        for _ in left:
            before, wrote = self.doc.get_state(), {}
            unique = f"{self.name}-{next(self.storm.numbers)}"
            if self.field == "map":
                self.root[key := self.storm.chance.choice(KEYS)] = unique
                wrote[key] = unique
            else:
                self.root.insert(0, f"<{unique}>")
                self.storm.tokens.add(f"<{unique}>")
            edit = Edit(self.storm.document, self.field, self.name, Update(self.doc.get_update(before)), self.version)
            await self.storm.edit(edit, wrote)
            await self.pull()

    def value(self) -> Any:
        return self.root.to_py() if self.field == "map" else str(self.root)

    async def pull(self) -> None:
        async with self.storm.database.transaction("default") as tx:
            self.version, update = await documents.replica(tx, self.storm.document, self.field, self.doc.get_state())
        self.doc.apply_update(update)


@dataclass
class Findings:
    """What is wrong after a storm, each in words; right is none."""

    storm: Storm
    standing: dict[str, documents.Field]
    recorded: list[Conflict]
    wrong: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, storm: Storm) -> "Findings":
        """Look at everything that a storm has left."""
        found = cls(storm, await storm.read(), await storm.conflicts())
        found.plain("versioned")
        found.plain("lww")
        found.escalated()
        found.counted()
        found.gathered()
        found.mapped()
        found.texts()
        known = {conflict.id for conflict in found.recorded}
        told = {conflict.id for made in storm.made for conflict in made.answer.conflicts}
        found.expect(told <= known, f"{len(told - known)} conflicts are not kept")
        for peer in storm.peers:
            await peer.pull()
            found.expect(peer.value() == found.standing[peer.field].value, f"{peer.name} shows another {peer.field}")
        return found

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.wrong.append(otherwise)

    def of_field(self, name: str) -> list[Made]:
        return [made for made in self.storm.made if made.edit.field == name]

    def in_order(self, name: str) -> list[Made]:
        """Return the edits that changed a field, by the version they made."""
        found = [made for made in self.of_field(name) if made.answer.outcome in ("applied", "merged")]
        return sorted(found, key=lambda made: made.answer.version)

    def plain(self, name: str) -> None:
        for made in self.of_field(name):
            lost = [conflict.lost for conflict in made.answer.conflicts]
            self.expect(made.answer.outcome != "lost" or lost == [made.wrote[""]], f"{name}: {made.wrote} is lost and not recorded")
        before: Any = None
        for made in self.in_order(name):
            lost = [conflict.lost for conflict in made.answer.conflicts]
            seen = made.edit.base >= made.answer.version - 1
            self.expect(seen or before in lost, f"{name}: {before} was overwritten unseen")
            before = made.wrote[""]
        self.expect(self.standing[name].value == before, f"{name}: {before} should stand")

    def escalated(self) -> None:
        # What a person let stand was read by whoever overwrote it: an edit on an older version is no plain edit.
        lost = {side for conflict in self.recorded if conflict.field == "escalate" for side in (conflict.lost, conflict.kept)}
        seen = {made.edit.base for made in self.in_order("escalate")}
        for made in self.of_field("escalate"):
            applied = made.answer.outcome == "applied"
            kept = made.wrote[""] == self.standing["escalate"].value or made.wrote[""] in lost
            self.expect(kept or (applied and made.answer.version in seen), f"escalate: {made.wrote} is nowhere")

    def counted(self) -> None:
        total = sum(made.wrote[""] for made in self.of_field("counter"))
        self.expect(self.standing["counter"].value == total, f"the counter is {self.standing['counter'].value}, not {total}")

    def gathered(self) -> None:
        present: set[str] = set()
        removed: dict[str, tuple[int, str]] = {}
        for made in self.in_order("set"):
            ((element, adds),) = made.wrote.items()
            recorded = {"removed": element} in [conflict.lost for conflict in made.answer.conflicts]
            stands = element in made.answer.value
            at, by = removed.get(element, (0, made.edit.writer))
            unseen = adds and element not in present and at > made.edit.base and by != made.edit.writer
            self.expect(stands or not adds, f"set: {element} was added and is not there")
            self.expect(recorded == (unseen or (stands and not adds)), f"set: a removal of {element} is not recorded, or wrongly")
            if element in present and not stands:
                removed[element] = made.answer.version, made.edit.writer
            present = set(made.answer.value)
        self.expect(present == set(self.standing["set"].value), "set: another value stands")

    def mapped(self) -> None:
        before: dict[str, Any] = {}
        written: dict[str, int] = {}
        for made in self.in_order("map"):
            after, lost = made.answer.value, [(conflict.part, conflict.lost) for conflict in made.answer.conflicts]
            for key in {*before, *after, *made.wrote}:
                old, new, wanted = before.get(key), after.get(key), made.wrote.get(key, after.get(key))
                self.expect(old == new or written.get(key, 0) <= made.edit.base or (key, old) in lost, f"map: {key}={old} went unseen")
                self.expect(new == wanted or (key, wanted) in lost, f"map: {key}={wanted} is lost and not recorded")
                if old != new:
                    written[key] = made.answer.version
            before = after
        self.expect(before == self.standing["map"].value, "map: another value stands")

    def texts(self) -> None:
        text = self.standing["text"].value
        for token in self.storm.tokens:
            right = {0, 1} if token in self.storm.deleted else {1}
            self.expect(text.count(token) in right, f"text: {token} is there {text.count(token)} times")


async def _main(url: str, edits: int, seed: int) -> bool:
    database = await Database.connect(url, size=12)
    try:
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('default') ON CONFLICT DO NOTHING")
        storm = Storm(database, f"storm-{seed}", random.Random(seed))
        began = perf_counter()
        await storm.blow(edits)
        seconds = perf_counter() - began
        found = await Findings.of(storm)
        outcomes = Counter(made.answer.outcome for made in storm.made)
        print(f"{len(storm.made)} edits and {storm.repeats * 2} repeats in {seconds:.1f} s: {dict(outcomes)}")  # noqa: T201
        print(f"{len(found.recorded)} conflicts recorded; {len(found.wrong)} things wrong {found.wrong[:10]}")  # noqa: T201
        return not found.wrong
    finally:
        await database.close()


async def _embedded(edits: int, seed: int) -> bool:
    async with servers.embedded_postgres() as owner, servers.migrated_template(owner) as name, servers.scratch_database(owner, name) as url:
        return await _main(servers.as_app(url), edits, seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(_embedded(given.edits, given.seed)) else 1)
