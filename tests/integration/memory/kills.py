"""Writers that are killed at any moment: `python -m tests.integration.memory.kills --kills 1000`.

Two writers follow one plan side by side, as an attempt and the retry that overtakes it; one of them is killed, again and again, and another
goes on in its place. What each write answered is noted by the writers themselves, so a second answer that differs from the first shows.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from database import Database
from memory import consistency, episodes, facts, revisions
from memory.episodes import NewEpisode
from memory.storing import NewFact
from memory.writes import WriteKey
from settings import ROOT
from tests import servers

TENANT, SCOPE = "default", "kills"
SHARED = 7
"""Texts that many writes have in common."""
GAPS = "SELECT count(*) FROM (SELECT FROM episode WHERE tenant = $1 GROUP BY session HAVING max(seq) <> count(*)) AS sessions"
AWAITED = (0, 0, 1, 2)
BACK = (0, 0, 1, 2)
LONGEST = 0.03
"""Answers that are waited for before a kill, so that slow machines come on too; writes that are made again after it; seconds until it."""


@dataclass
class Report:
    """What came of it; all but the first two are to be 0. differing: writes that answered twice, and not the same."""

    kills: int
    writes: int
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    unsound: int = 0

    @property
    def fine(self) -> bool:
        """Whether nothing was lost, nothing came twice and every answer stayed the same."""
        return not (self.lost or self.doubled or self.differing or self.unsound)


async def write(database: Database, nth: int) -> Any:
    """Make one write of the plan, in one transaction, and return what it answered."""
    key = WriteKey("kills", f"write {nth}")
    async with database.transaction(TENANT) as tx:
        said = await episodes.append(tx, key, [NewEpisode(f"said at {nth}", f"session {nth % 5}")])
        bodies = [f"number {nth} was told about {name}" for name in ("ann", "bob")] + [f"this is shared by many: {nth % SHARED}"]
        written = await facts.write(tx, key, [NewFact(body, scope=SCOPE, sources=tuple(id for id in said if id)) for body in bodies])
        answer = [said, [asdict(one) for one in written.stored]]
        if nth % 3 == 0:
            new = NewFact(f"number {nth} was told something else", scope=SCOPE)
            replaced = await revisions.supersede(tx, WriteKey("kills", f"replace {nth}"), written.ids[0], new)
            answer.append([asdict(one) for one in replaced.stored])
    return answer


async def follow(url: str, notes: Path, back: int, last: int | None, ready: int) -> None:
    """Follow the plan from ``back`` writes before where it stands, and note each answer once it is committed."""
    database = await Database.connect(url, size=1)
    os.write(ready, b"!")
    first = max(0, len(read(notes)) - back)
    with notes.open("a") as file:
        for nth in range(first, last) if last is not None else itertools.count(first):
            answer = await write(database, nth)
            file.write(json.dumps([nth, answer]) + "\n")
            file.flush()
    await database.close()


def read(notes: Path) -> dict[int, list[str]]:
    """Return the answers of each write; a line that a kill cut short is left out."""
    found: dict[int, list[str]] = {}
    for line in notes.read_text().splitlines():
        try:
            nth, answer = json.loads(line)
        except ValueError:
            continue
        found.setdefault(nth, []).append(json.dumps(answer))
    return found


def fork(work: Coroutine[Any, Any, None]) -> int:
    """Run something in a child that shares nothing but what it was given, and return its process id."""
    if pid := os.fork():
        work.close()
        return pid
    code = 1
    try:
        asyncio.run(work)
        code = 0
    finally:
        os._exit(code)


def start(url: str, notes: Path, back: int = 2, last: int | None = None) -> int:
    """Start a writer, and return its process id once it has a connection."""
    readable, writable = os.pipe()
    pid = fork(follow(url, notes, back, last, writable))
    os.close(writable)
    os.read(readable, 1)
    os.close(readable)
    return pid


def wait(notes: Path, since: int, answers: int) -> None:
    """Wait until so many answers more are noted."""
    deadline = time.monotonic() + 30
    while notes.read_bytes()[since:].count(b"\n") < answers and time.monotonic() < deadline:
        time.sleep(0.002)


def campaign(url: str, kills: int, seed: int) -> Report:
    """Kill so many writers, let the plan come to its end, and look at what there is."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.touch()
        writers = [start(url, notes), start(url, notes)]
        for nth in range(kills):
            wait(notes, notes.stat().st_size, chance.choice(AWAITED))
            time.sleep(chance.uniform(0, LONGEST))
            os.kill(writers[nth % 2], signal.SIGKILL)
            os.waitpid(writers[nth % 2], 0)
            writers[nth % 2] = start(url, notes, chance.choice(BACK))
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        # Whatever was under way is done again, as a retry would, with all that was noted before it.
        last = max(read(notes), default=0) + 2
        _, code = os.waitpid(start(url, notes, last=last), 0)
        report = Report(kills + 2, last, unsound=int(code != 0))
        asyncio.run(look(url, read(notes), report))
    return report


async def look(url: str, noted: dict[int, list[str]], report: Report) -> None:
    """Compare what is there with what the writers were told."""
    database = await Database.connect(url, size=2)
    again = {nth: json.dumps(await write(database, nth)) for nth in range(report.writes)}
    report.differing = sum(len({*answers, again[nth]}) > 1 for nth, answers in noted.items())
    async with database.transaction(TENANT) as tx:
        bodies = Counter(row["body"] for row in await tx.fetch("SELECT body FROM fact WHERE tenant = $1 AND scope = $2", TENANT, SCOPE))
        said = Counter(row["body"] for row in await tx.fetch("SELECT body FROM episode WHERE tenant = $1", TENANT))
        gaps = await tx.value(GAPS, TENANT)
        unsound = sum(finding.count for finding in await consistency.check(tx))
        unsettled = await tx.value("SELECT count(*) FROM memory_write WHERE tenant = $1 AND result = 'null'", TENANT)
    await database.close()
    wanted = {f"number {nth} was told about {name}" for nth in range(report.writes) for name in ("ann", "bob")}
    wanted |= {f"number {nth} was told something else" for nth in range(0, report.writes, 3)}
    wanted |= {f"this is shared by many: {nth % SHARED}" for nth in range(report.writes)}
    told = {f"said at {nth}" for nth in range(report.writes)}
    report.lost = len(wanted - set(bodies)) + len(told - set(said)) + len(set(range(report.writes)) - set(noted))
    report.doubled = sum(count - 1 for count in (*bodies.values(), *said.values()))
    report.unsound += len(set(bodies) - wanted) + gaps + unsound + unsettled


async def embedded(kills: int, seed: int) -> int:
    """Run a campaign in a process of its own, against a Postgres of its own."""
    async with servers.embedded_postgres() as owner, servers.migrated_template(owner) as name, servers.scratch_database(owner, name) as url:
        command = [sys.executable, "-m", "tests.integration.memory.kills", "--kills", str(kills), "--seed", str(seed)]
        process = await asyncio.create_subprocess_exec(*command, "--database", servers.as_app(url), cwd=ROOT)
        return await process.wait()


def short(url: str, kills: int, seed: int) -> Report:
    """Run a campaign in a process of its own, as a test does: forks must not come from a process with threads."""
    command = [sys.executable, "-m", "tests.integration.memory.kills", "--kills", str(kills), "--seed", str(seed), "--database", url]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.stdout, said.stderr
    return Report(**json.loads(said.stdout))


def main() -> None:
    """Run a campaign and print its report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="the program's address of a database with all tables; without it one is made")
    given = parser.parse_args()
    if given.database is None:
        sys.exit(asyncio.run(embedded(given.kills, given.seed)))
    report = campaign(given.database, given.kills, given.seed)
    print(json.dumps(asdict(report)))  # noqa: T201
    sys.exit(0 if report.fine else 1)


if __name__ == "__main__":
    main()
