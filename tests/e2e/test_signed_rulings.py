"""What `approve --print-signal` prints, typed into the plain Temporal CLI: believed once, soon, and for that request only."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.approvals import Ruling
from database import Database
from ledger import directory, signatures
from ledger.directory import Person
from settings import ROOT
from tests.house import Handle, House, opened, plan, step
from tests.integration.ledger.rows import in_seconds
from tests.probes import copied

KEY = "k" * 40
ASKS = plan(step("a", note="one", ask=True), step("b", note="two", ask=True))


@dataclass
class Terminal:
    """Ann's terminal: `starter.py` and the Temporal CLI, in an installation that believes signed rulings only."""

    house: House
    environment: dict[str, str]

    async def printed(self, request: str, *words: str) -> tuple[str, str]:
        """Return what is printed for the Temporal CLI: the signal and the update."""
        command = shlex.join([sys.executable, "starter.py", "approve", request, "--print-signal", *words])
        signal, update = (await self.typed(command)).splitlines()
        return signal, update

    async def typed(self, command: str) -> str:
        """Type a command into the shell as it is and return its output."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_shell(command, cwd=ROOT, env=self.environment, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        assert process.returncode == 0, (command, out, err)
        return out.decode()

    async def refused(self, handle: Handle, count: int) -> dict[str, Any]:
        """Wait until so many words were refused, and return the last one's record."""
        found = await self.house.until(handle, lambda found: len(found.refusals) == count)
        async with self.house.database.transaction("default") as tx:
            query = "SELECT body FROM record WHERE tenant = 'default' AND kind = 'access' AND lineage = $1 ORDER BY seq DESC LIMIT 1"
            return dict(await tx.value(query, found.run.lineage))


@pytest.fixture
async def terminal(
    database: Database, database_url: str, temporal_address: str, temporal_program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Terminal]:
    monkeypatch.setenv(f"PERDURE_SECRET_{signatures.KEY_NAME}", KEY)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "temporal").symlink_to(temporal_program)
    folder = copied(tmp_path / "automations", approvals={"unsigned": False})
    async with opened(database, temporal_address, tmp_path, folder=folder) as house, house.worker():
        async with database.transaction("default") as tx:
            await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"owner"})), "tester")
            token = await directory.mint(tx, "ann", ("decide",), in_seconds(3600))
        yield Terminal(house, {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TEMPORAL_ADDRESS": temporal_address,
            "PERDURE_DATABASE_URL": database_url, "PERDURE_SECRET_API_TOKEN": token,
        })  # fmt: skip


def changed(command: str, **changes: Any) -> str:
    """Return a printed command whose ruling says something else; None leaves a field out."""
    words = shlex.split(command)
    at = words.index("--input") + 1
    said = {**json.loads(words[at]), **changes}
    words[at] = json.dumps({name: value for name, value in said.items() if value is not None})
    return shlex.join(words)


async def test_what_is_printed_is_believed_once_and_for_its_request_only(terminal: Terminal) -> None:
    house = terminal.house
    handle = await house.start(ASKS)
    first, second = (await house.waiting(handle, 2)).waiting
    signal, _ = await terminal.printed(first.id, "--reason", "it's fine")
    await terminal.typed(changed(signal, token=None))
    raw = await terminal.refused(handle, 1)
    assert "believes signed rulings only" in raw["why"] and (raw["by"], raw["request"], raw["channel"]) == ("ann", first.id, "signal")
    await terminal.typed(changed(signal, request=second.id, digest=None))
    assert "its token is for another ruling" in (await terminal.refused(handle, 2))["why"]
    await terminal.typed(changed(signal, by="eve"))
    assert "its token is for another person" in (await terminal.refused(handle, 3))["why"]
    assert len((await house.explained(handle)).waiting) == 2
    await terminal.typed(signal)
    (left,) = (await house.waiting(handle, 1)).waiting
    await terminal.typed(signal)
    assert "already decided by ann at" in (await terminal.refused(handle, 4))["why"]
    assert left.id == second.id
    _, update = await terminal.printed(second.id)
    assert "approved by ann" in await terminal.typed(update)
    assert await house.ended(handle) == "COMPLETED"
    assert await house.notes() == ["one", "two"] and set((await house.calls()).values()) == {1}


async def test_a_token_of_eleven_minutes_ago_is_not_believed(terminal: Terminal) -> None:
    house = terminal.house
    handle = await house.start(ASKS)
    first = (await house.waiting(handle, 2)).waiting[0]
    signal, _ = await terminal.printed(first.id)
    async with house.database.transaction("default") as tx:
        then = await tx.value("SELECT now()") - signatures.HOLDS - timedelta(minutes=1)
    ruling = Ruling.model_validate({"request": first.id, "verdict": "approve", "by": "ann"})
    await terminal.typed(changed(signal, token=signatures.sign(KEY, "default", ruling, first.digest, then)))
    assert "its token ran out at" in (await terminal.refused(handle, 1))["why"]
    assert len((await house.explained(handle)).waiting) == 2 and await house.notes() == []
