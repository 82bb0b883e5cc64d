"""What the doctor finds, and the mends it names."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import stack, temporal_server
from devstack.doctor import Check, doctor
from devstack.parts import MAIL, TEMPORAL
from settings import Settings
from tests import servers
from tests.integration.devstack.conftest import PARTS

Read = Callable[[], Settings]


async def examined(settings: Read) -> dict[str, Check]:
    return {check.name: check for check in await doctor(settings())}


def wrong(found: dict[str, Check]) -> set[str]:
    return {name for name, check in found.items() if not check.ok}


async def test_before_the_first_up_every_missing_part_has_a_mend(settings: Read) -> None:
    found = await examined(settings)
    assert wrong(found) == {"temporal", "postgres", "model", "mail", "social", "worker", "console"}
    assert all("starter.py up" in found[name].fix for name in wrong(found))


async def test_what_is_up_is_found_well(settings: Read) -> None:
    await stack.up(settings(), parts=PARTS)
    found = await examined(settings)
    assert wrong(found) == {"model", "worker", "console"}
    assert found["temporal settings"].detail == "tuned"
    assert found["role"].detail == "perdure_app is bound"
    assert {"clock", "pgvector", "ports", "disk"} <= set(found)


async def test_the_console_is_listed_with_its_address_and_slack_with_how_it_is_set_up(
    settings: Read, monkeypatch: pytest.MonkeyPatch, owner_database_url: str
) -> None:
    before = await examined(settings)
    assert before["console"].fix == "run `starter.py up`" and "`starter.py up --slack`" in before["slack"].detail
    monkeypatch.setenv("PERDURE_SECRET_SLACK_BOT_TOKEN", "xoxb-1")
    assert (await examined(settings))["slack"].detail == "no way in, no channel"
    monkeypatch.setenv("PERDURE_SECRET_SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.setenv("PERDURE_SLACK_CHANNEL", "C1")
    assert (await examined(settings))["slack"] == Check("slack", True, "socket mode")
    monkeypatch.setenv("PERDURE_DATABASE_URL", owner_database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert "is not served here" in (await examined(settings))["console"].detail
    monkeypatch.setenv("PERDURE_SECRET_CONSOLE_KEY", "k" * 32)
    assert not (await examined(settings))["console"].ok


async def test_a_part_that_died_is_named(settings: Read) -> None:
    await stack.up(settings(), parts=("mail", "social"))
    MAIL.process(settings()).kill()
    assert {"mail", "social"} & wrong(await examined(settings)) == {"mail"}


async def test_a_port_that_another_program_took_is_named(settings: Read) -> None:
    with socket.create_server(("127.0.0.1", settings().receiver_port)):
        ports = (await examined(settings))["ports"]
    assert ports == Check("ports", False, f"{settings().receiver_port} is taken", "stop what listens there, or set PERDURE_RECEIVER_PORT")


async def test_a_temporal_server_that_is_not_tuned_is_named(settings: Read, temporal_program: Path) -> None:
    wanted = settings()
    process = TEMPORAL.process(wanted)
    process.start(temporal_server.command(temporal_program, process.folder, wanted.temporal_port, tuned=False))
    await servers.until(lambda: temporal_server.answers(wanted.temporal_port))
    check = (await examined(settings))["temporal settings"]
    assert not check.ok
    assert "system.enableActivityEagerExecution" in check.detail


async def test_a_program_above_row_level_security_is_named(
    settings: Read, owner_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", owner_database_url)
    await servers.run(owner_database_url, "ALTER ROLE perdure_app BYPASSRLS")
    try:
        assert (await examined(settings))["role"].fix == "ALTER ROLE perdure_app NOSUPERUSER NOBYPASSRLS"
    finally:
        await servers.run(owner_database_url, "ALTER ROLE perdure_app NOBYPASSRLS")


async def test_a_server_that_is_supplied_but_away_is_named_with_its_variable(settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = servers.free_port()
    monkeypatch.setenv("PERDURE_DATABASE_URL", f"postgresql://nobody@127.0.0.1:{nowhere}/none")
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{nowhere}")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{nowhere}/v1")
    found = await examined(settings)
    assert found["postgres"].fix == "start that server, or correct PERDURE_DATABASE_URL"
    assert found["temporal"].fix == "start that server, or correct TEMPORAL_ADDRESS"
    assert found["model"].fix == "check OPENAI_BASE_URL and OPENAI_API_KEY"
