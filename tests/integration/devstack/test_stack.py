"""The one-machine stack as a whole, with its real parts."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from temporalio.client import Client

from contracts.errors import StackError
from database import MIGRATIONS
from devstack import stack
from devstack.parts import MAIL
from settings import ROOT, Settings
from tests import servers
from tests.integration.devstack.conftest import PARTS, running

Read = Callable[[], Settings]
UP = f"import asyncio; from devstack import stack; from settings import Settings; asyncio.run(stack.up(Settings(), parts={PARTS!r}))"


async def up(settings: Read) -> Settings:
    return await stack.up(settings(), parts=PARTS)


async def states(settings: Read) -> dict[str, str]:
    return {condition.name: condition.state for condition in await stack.status(settings())}


async def pids(settings: Read) -> dict[str, int | None]:
    return {condition.name: condition.pid for condition in await stack.status(settings())}


async def query(settings: Read, statement: str) -> Any:
    url = settings().owner_database_url
    assert url
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def start_a_run(settings: Read) -> str:
    client = await Client.connect(**settings().temporal)
    return (await client.start_workflow("nobody", id=f"kept-{secrets.token_hex(4)}", task_queue="nobody")).id


async def run_status(settings: Read, workflow_id: str) -> str:
    client = await Client.connect(**settings().temporal)
    status = (await client.get_workflow_handle(workflow_id).describe()).status
    return status.name if status else ""


async def test_up_starts_the_parts_and_tells_the_settings_where_they_are(settings: Read) -> None:
    told = await up(settings)
    assert await states(settings) == dict.fromkeys(PARTS, "running") | {"model": "stopped", "worker": "stopped", "console": "stopped"}
    assert told == settings()
    assert told.one_machine
    assert (told.smtp_url, told.receiver_url) == (f"smtp://127.0.0.1:{told.smtp_port}", f"http://127.0.0.1:{told.receiver_port}")
    assert await query(settings, "SELECT count(*) FROM perdure_meta.migration") == len(list(MIGRATIONS.glob("*.sql")))


async def test_a_second_up_changes_nothing(settings: Read) -> None:
    await up(settings)
    before, file = await pids(settings), (settings().state / "stack.json").read_text()
    await up(settings)
    assert await pids(settings) == before
    assert (settings().state / "stack.json").read_text() == file


async def test_prepare_runs_when_the_tables_are_there(settings: Read) -> None:
    seen: list[Any] = []

    async def prepare(told: Settings) -> None:
        seen.append(await query(lambda: told, "SELECT count(*) FROM perdure_meta.migration"))

    await stack.up(settings(), parts=("postgres",), prepare=prepare)
    assert seen
    assert seen[0] > 0


async def test_down_stops_every_part_and_forgets_where_they_were(settings: Read) -> None:
    await up(settings)
    assert sorted(await stack.down(settings())) == sorted(PARTS)
    assert set((await states(settings)).values()) == {"stopped"}
    assert running(settings().state) == []
    assert settings().database_url is None
    assert await stack.down(settings()) == []


async def test_a_stopped_stack_comes_back_with_its_data(settings: Read) -> None:
    await up(settings)
    await query(settings, "CREATE TABLE kept AS SELECT 7 AS number")
    workflow_id = await start_a_run(settings)
    await stack.down(settings())
    await up(settings)
    assert await query(settings, "SELECT number FROM kept") == 7
    assert await run_status(settings, workflow_id) == "RUNNING"


async def test_a_crashed_stack_comes_back_with_its_data(settings: Read) -> None:
    await up(settings)
    await query(settings, "CREATE TABLE kept AS SELECT 7 AS number")
    workflow_id = await start_a_run(settings)
    for pid in (await pids(settings)).values():
        if pid:
            os.kill(pid, signal.SIGKILL)
    await servers.until(lambda: all_of(settings, "stopped"))
    await up(settings)
    assert await query(settings, "SELECT number FROM kept") == 7
    assert await run_status(settings, workflow_id) == "RUNNING"


async def test_one_part_that_died_is_started_alone(settings: Read) -> None:
    await up(settings)
    before = await pids(settings)
    MAIL.process(settings()).kill()
    await up(settings)
    after = await pids(settings)
    assert {name for name in before if before[name] != after[name]} == {"mail"}
    assert (await states(settings))["mail"] == "running"


async def test_all_taken_ports_are_named_in_one_message_before_anything_starts(settings: Read) -> None:
    wanted = settings()
    with ExitStack() as held:
        for port in (wanted.temporal_ui_port, wanted.smtp_port):
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        with pytest.raises(StackError) as caught:
            await up(settings)
    first, second = str(caught.value).splitlines()
    assert f"port {wanted.temporal_ui_port} is taken by pid {os.getpid()}" in first
    assert first.endswith("stop that or set PERDURE_TEMPORAL_UI_PORT")
    assert f"port {wanted.smtp_port} is taken" in second
    assert second.endswith("stop that or set PERDURE_SMTP_PORT")
    assert set((await states(settings)).values()) == {"stopped"}


async def test_a_folder_that_postgres_cannot_work_in_is_named(settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STATE", f"{settings().state}/with space")
    with pytest.raises(StackError, match=r"with space/postgres, because of a character in its name: set PERDURE_STATE"):
        await up(settings)


async def test_a_postgres_that_cannot_start_is_reported_with_what_it_said(settings: Read) -> None:
    told = await stack.up(settings(), parts=("postgres",))
    await stack.down(told)
    with (told.state / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("\nshared_buffers = 'plenty'\n")
    with pytest.raises(StackError, match=r'Postgres did not start \(configuration file ".*" contains errors\); its log is'):
        await stack.up(settings(), parts=("postgres",))


async def test_a_folder_with_a_long_name_will_do(settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STATE", f"{settings().state}/{'long' * 30}")
    try:
        await stack.up(settings(), parts=("postgres",))
        assert await query(settings, "SELECT 1") == 1
    finally:
        assert await stack.down(settings()) == ["postgres"]


async def test_what_the_environment_supplies_is_used_and_not_started(
    settings: Read, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with servers.scratch_database(postgres_url) as url:
        monkeypatch.setenv("PERDURE_DATABASE_URL", url)
        monkeypatch.setenv("PERDURE_SMTP_URL", "smtp://somebody:secret@mail:25")
        told = await stack.up(settings(), parts=("postgres", "mail"))
        conditions = {condition.name: condition for condition in await stack.status(settings())}
        assert (conditions["postgres"].state, conditions["mail"].state) == ("supplied", "supplied")
        assert conditions["mail"].where == "smtp://somebody:…@mail:25"
        assert running(told.state) == []
        assert not told.one_machine
        assert await query(lambda: Settings(owner_database_url=told.database_url), "SELECT count(*) FROM perdure_meta.migration") > 0


async def test_what_the_environment_takes_over_is_stopped(settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.up(settings(), parts=("mail", "social"))
    monkeypatch.setenv("PERDURE_SMTP_URL", "smtp://mail:25")
    await stack.up(settings(), parts=("mail", "social"))
    assert settings().smtp_url == "smtp://mail:25"
    assert len(running(settings().state)) == 1


# Whoever is impatient kills `up` at the worst moment: each of these is one.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "while the data is made": lambda state: any(state.glob("postgres.new-*/PG_VERSION")),
    "while postgres comes up": lambda state: (state / "postgres" / "postmaster.pid").exists(),
    "when temporal has just started": lambda state: (state / "temporal" / "pid").exists(),
}


async def killed_up(state: Path, moment: Callable[[Path], bool]) -> None:
    begun = await asyncio.create_subprocess_exec(sys.executable, "-c", UP, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(30):
            while not moment(state):  # noqa: ASYNC110 - the files are another process's
                await asyncio.sleep(0.002)
    finally:
        begun.kill()
        await begun.wait()


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
async def test_an_up_that_was_killed_half_way_can_be_given_again(settings: Read, moment: Callable[[Path], bool]) -> None:
    await killed_up(settings().state, moment)
    await up(settings)
    assert await all_of(settings, "running", PARTS)
    assert await query(settings, "SELECT count(*) FROM perdure_meta.migration") > 0


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
async def test_after_an_up_that_was_killed_half_way_down_leaves_nothing_running(settings: Read, moment: Callable[[Path], bool]) -> None:
    state = settings().state
    await killed_up(state, moment)

    async def nothing_is_left() -> bool:
        await stack.down(settings())
        return running(state) == []

    await servers.until(nothing_is_left, 20)


async def test_data_whose_making_was_cut_short_is_made_anew(settings: Read) -> None:
    state = settings().state
    await killed_up(state, MOMENTS["while the data is made"])
    for process in psutil.process_iter(["cmdline"]):
        if str(state) in " ".join(process.info["cmdline"] or ()):
            process.kill()
    await up(settings)
    assert await query(settings, "SELECT 1") == 1
    assert list(state.glob("postgres.new-*")) == []


async def all_of(settings: Read, state: str, parts: tuple[str, ...] = ()) -> bool:
    found = await states(settings)
    return {found[name] for name in parts or found} == {state}
