"""`starter.py memory keep` and `expire`: a policy is set and shown, and what is over it is counted before it goes."""

import json
from collections.abc import Callable

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from channels.cli import memory
from database import Database
from memory import sessions
from memory.sessions import Turn
from tests import servers

Terminal = Callable[..., Result]


@pytest.fixture
async def _old(database: Database, owner_database_url: str) -> None:
    async with database.transaction("default") as tx:
        await sessions.append(tx, "s", 0, [Turn("user", "user", "hello")] * 3)
    await servers.run(owner_database_url, "UPDATE perdure.turn SET at = at - interval '40 days'")


@pytest.fixture
def terminal(_old: None, database_url: str, owner_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PERDURE_DATABASE_URL", database_url)
    monkeypatch.setenv("PERDURE_OWNER_DATABASE_URL", owner_database_url)
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")

    def run(*words: str) -> Result:
        app = typer.Typer()
        app.command("nothing")(lambda: None)
        memory.register(app)
        return CliRunner().invoke(app, ["memory", *words])

    return run


def test_what_is_over_the_policy_is_counted_and_then_goes(terminal: Terminal) -> None:
    assert json.loads(terminal("keep", "turns", "30", "--json").output) == {"turns": 30}
    assert "turns: 30 days" in terminal("keep").output
    for words, turns in ((["--dry-run"], 3), ([], 3), ([], 0)):
        said = json.loads(terminal("expire", "--json", *words).output)
        assert said == {"dry_run": bool(words), "rows": {"turns": turns}, "vacuum": []}
    assert "gone: nothing" in terminal("expire", "--vacuum").output
    assert json.loads(terminal("keep", "turns", "forever", "--json").output) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["turns"], "a number of days, or forever, not nothing"),
        (["turns", "-3"], "a number of days"),
        (["turns", "0"], "1 to 36,500"),
        (["cats", "3"], "there is no policy for 'cats'"),
        (["turns", "3", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    ],
)
def test_a_policy_that_is_none_is_one_clear_error(terminal: Terminal, words: list[str], message: str) -> None:
    said = terminal("keep", *([words[0], "--", *words[1:]] if "-3" in words else words))
    assert said.exit_code != 0
    assert message in " ".join(said.output.split())


def test_only_an_owner_may_vacuum(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERDURE_OWNER_DATABASE_URL")
    said = terminal("expire", "--vacuum")
    assert said.exit_code != 0
    assert "set PERDURE_OWNER_DATABASE_URL" in said.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "PT24H", "--dry-run"], "--every and --dry-run exclude each other"),
        (["--every", "never", "--vacuum"], "--every and --vacuum exclude each other"),
        (["--every", "PT1S"], "--every PT1S is too often: PT10S is the least"),
        (["--every", "daily"], "--every 'daily' is no length of time"),
        (["--every", "PT24H", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_clear_error(terminal: Terminal, words: list[str], message: str) -> None:
    said = terminal("expire", *words)
    assert said.exit_code != 0
    assert message in " ".join(said.output.split())
