"""Trust zones: a tool of another zone runs in the tool server of that zone, and never in the worker."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from database import Database
from tests.house import House, opened, plan, statuses, step
from tests.probes import copied
from tests.servers import free_port
from tests.tool_servers import SERVER, running

SANDBOXED = {
    'key_ttl=KEPT, compensate_with="probe.erase", seconds=2)\nasync def write(': (
        'key_ttl=KEPT, compensate_with="probe.erase", seconds=10, zone="sandbox")\nasync def write('
    ),
    "lookup=_find, seconds=2)": 'lookup=_find, seconds=3, zone="sandbox")',
    "import asyncio\n": "import asyncio\nimport os\n",
    '{"note": arguments.note}, writer=context.key)': '{"note": f"{arguments.note} by {os.getpid()}"}, writer=context.key)',
}


@pytest.fixture
async def house(database: Database, temporal_address: str, tmp_path: Path) -> AsyncGenerator[House]:
    """A house whose tools `probe.write` and `probe.found` belong to the zone `sandbox`; its worker is the test's to start."""
    folder = copied(tmp_path / "automations", tools=SANDBOXED)
    async with opened(database, temporal_address, tmp_path / "state", folder=folder) as made:
        yield made


def sandbox(house: House, database_url: str, address: str, tmp_path: Path) -> Any:
    command = (*SERVER, "--zone", "sandbox", "--address", address, "--automations", house.settings.automations)
    return running(command, address, PERDURE_DATABASE_URL=database_url, PERDURE_STATE=str(tmp_path / "sandbox"))


async def test_a_run_whose_tools_are_in_a_zone(house: House, database_url: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with sandbox(house, database_url, address, tmp_path) as process, house.worker(zones={"sandbox": address}):
        found = await house.run(plan(step("a", note="there"), step("b", "probe.slow", "a", note="here", seconds=0)))
        assert statuses(found) == {"a": "done", "b": "done"}
        assert await house.notes() == sorted([f"here by {os.getpid()}", f"there by {process.pid}"])


async def test_a_lost_answer_of_a_zone_is_looked_up_there(house: House, database_url: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with sandbox(house, database_url, address, tmp_path), house.worker(zones={"sandbox": address}):
        found = await house.run(plan(step("a", "probe.found", note="there", fail="lost")))
        assert statuses(found) == {"a": "done"}
        assert sum((await house.calls()).values()) == 1


async def test_a_zone_without_a_server_fails_the_step_and_names_the_setting(house: House) -> None:
    async with house.worker():
        handle = await house.start(plan(step("a", note="nobody")), *[plan(step(f"again-{n}", note="nobody")) for n in range(4)])
        await house.ended(handle)
        found = await house.explained(handle)
        assert {row.status for row in found.steps} <= {"failed", "skipped"}
        detail = next(row.detail for row in found.steps if row.step == "a")
        assert "trust zone sandbox" in detail and "PERDURE_ZONES" in detail
        assert await house.notes() == []
