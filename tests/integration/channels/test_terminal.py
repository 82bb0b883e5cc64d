"""Who is at the terminal: proved by a token, believed on the one-machine stack, refused and put on record elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from channels.acts import NEEDS
from channels.cli import approvals, automations, calendar, operate, people, reconcile, undo
from channels.cli.terminal import NotAllowed, at_terminal
from channels.console import api
from channels.console.app import RULES
from database import Database
from ledger import directory, runs
from ledger.directory import ROLES, Person, Role
from ledger.refusals import ATTEMPTS
from settings import Settings
from tests.integration.ledger import rows

Typed = Callable[..., Awaitable[Result]]
REFUSED = """
SELECT body->>'signal' AS act, body->>'by' AS by, body->>'why' AS why, body->>'channel' AS channel
  FROM record WHERE tenant = $1 AND kind = 'access' AND body->>'event' = 'refused' ORDER BY seq
"""
PEOPLE: tuple[tuple[str, Role], ...] = (("vic", "viewer"), ("ann", "approver"), ("ope", "operator"), ("ada", "admin"))
ACTS: tuple[tuple[str, list[str]], ...] = (
    ("pause", ["pause", "wf-1"]),
    ("resume", ["resume", "wf-1"]),
    ("cancel", ["cancel", "wf-1"]),
    ("undo", ["undo", "wf-1"]),
    ("retry", ["retry", "wf-1", "a"]),
    ("fork", ["fork", "wf-1", "--from", "a"]),
    ("move", ["calendar", "move", "e1", "+2h"]),
    ("reconcile", ["reconcile", "--every", "never"]),
    ("review", ["review", "apr-1", "--note", "it was needed"]),
    ("apply", ["apply", "content-ops"]),
    ("people", ["people", "add", "eve", "--role", "admin"]),
    ("people", ["people", "disable", "ada"]),
    ("people", ["people", "token", "ada"]),
    ("people", ["people", "revoke", "del-1"]),
    ("people", ["people", "delegate", "ada", "ope", "--group", "finance"]),
)


@pytest.fixture
async def standing(database: Database) -> None:
    """A tenant with one person of each role, and a run under way."""
    async with database.transaction("default") as tx:
        for id, role in PEOPLE:
            await directory.put(tx, Person(id, id.title(), role), "tester")
        await runs.open_run(tx, rows.run(workflow_id="wf-1"), limit_micros=1000)


@pytest.fixture
def typed(standing: None, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command, as somebody who has the program's login to the database and no more."""
    monkeypatch.setenv("PERDURE_DATABASE_URL", database_url)
    # Nobody listens there: what is done in the ledger is done all the same.
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("LOGNAME", "joe")
    made = typer.Typer()
    for module in (approvals, automations, calendar, operate, people, reconcile, undo):
        module.register(made)

    async def done(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, made, list(words))

    return done


async def token(database: Database, person: str, *scopes: str) -> str:
    """Return a token of somebody."""
    async with database.transaction("default") as tx:
        return await directory.mint(tx, person, scopes, rows.in_seconds(60))


async def refusals(database: Database) -> list[dict[str, Any]]:
    """Return what was refused, in order."""
    async with database.transaction("default") as tx:
        return [dict(row) for row in await tx.fetch(REFUSED, "default")]


async def paused_by(database: Database) -> str | None:
    """Return who paused the run."""
    async with database.transaction("default") as tx:
        found = await runs.find(tx, "wf-1")
    assert found is not None
    return found.paused_by


def told(result: Result) -> str:
    """Return what a command complained about, on one line."""
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(("act", "words"), ACTS, ids=lambda given: given if isinstance(given, str) else " ".join(given))
async def test_an_act_needs_its_role_and_a_refusal_is_on_record(
    act: str, words: list[str], typed: Typed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    able = ROLES.index(NEEDS[act])
    for index, (person, role) in enumerate(PEOPLE):
        before = len(await refusals(database))
        said, found = await typed(*words, "--by", person), await refusals(database)
        why = f"not allowed: needs the role {NEEDS[act]}, and {person} is {role}"
        mine = [one for one in found[before:] if one["why"] == why]
        assert (told(said) == why and said.exit_code == 1) if index < able else why not in told(said)
        assert mine == [{"act": act, "by": person, "why": why, "channel": "cli"}] * (index < able)


async def test_who_is_at_the_one_machine_is_its_owner_until_the_directory_says_less(
    typed: Typed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    assert (await typed("pause", "wf-1")).exit_code == 0 and await paused_by(database) == "joe"
    async with database.transaction("default") as tx:
        await directory.put(tx, Person("joe", "Joe", "viewer"), "tester")
    assert "needs the role operator, and joe is viewer" in told(await typed("resume", "wf-1"))
    async with database.transaction("default") as tx:
        await directory.put(tx, Person("joe", "Joe", "admin", disabled=True), "tester")
    assert "needs the role operator, and joe is disabled" in told(await typed("resume", "wf-1"))
    assert await paused_by(database) == "joe"


async def test_a_name_that_nobody_has_is_refused_on_one_machine_too(
    typed: Typed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    said = await typed("pause", "wf-1", "--by", "mallory")
    assert said.exit_code == 1 and "the directory has nobody 'mallory'" in told(said) and await paused_by(database) is None
    assert [(one["act"], one["by"]) for one in await refusals(database)] == [("pause", "mallory")]


async def test_of_a_flood_of_commands_that_are_refused_the_first_are_records(standing: None, database: Database) -> None:
    for _ in range(2 * ATTEMPTS.source + 50):
        with pytest.raises(NotAllowed):
            await at_terminal(Settings(one_machine=True), database, "default", "pause", "mallory")
    # A minute may end anywhere in the test: then there are two of them.
    assert ATTEMPTS.source <= len(await refusals(database)) <= 2 * ATTEMPTS.source


async def test_elsewhere_a_name_proves_nothing_and_a_token_does(typed: Typed, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("pause", "wf-1"), ("pause", "wf-1", "--by", "ope"), ("people", "add", "eve"), ("apply", "content-ops")):
        said = await typed(*words)
        assert said.exit_code == 1 and "not proved who is speaking: set PERDURE_SECRET_API_TOKEN" in told(said)
    assert [(one["act"], one["by"]) for one in await refusals(database)] == [
        ("pause", "joe"), ("pause", "ope"), ("people", "joe"), ("apply", "joe"),
    ]  # fmt: skip
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", await token(database, "ope", "read", "decide"))
    assert "the token needs the scope operate" in told(await typed("pause", "wf-1"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", await token(database, "ann", "operate"))
    assert "needs the role operator, and ann is approver" in told(await typed("pause", "wf-1"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", await token(database, "ope", "operate"))
    assert (await typed("pause", "wf-1", "--by", "ada")).exit_code == 0 and await paused_by(database) == "ope"


async def test_a_token_that_is_none_or_may_not_rule_is_on_record(typed: Typed, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", await token(database, "ann", "read"))
    assert "with the scope `decide`" in told(await typed("approve", "apr-1"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", "perdure.default.guessed")
    assert (await typed("approve", "apr-1")).exit_code == 2 and (await typed("pause", "wf-1")).exit_code == 2
    assert (await typed("pause", "wf-1", "--tenant", "elsewhere")).exit_code == 2
    found = await refusals(database)
    assert [(one["act"], one["by"]) for one in found] == [("rule", "ann"), ("rule", ""), ("pause", ""), ("pause", "")]
    assert "no token of tenant elsewhere" in found[-1]["why"] and not any("guessed" in one["why"] for one in found)


async def test_whoever_holds_the_owners_login_adds_the_first_people_and_does_nothing_else(
    typed: Typed, database: Database, owner_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_OWNER_DATABASE_URL", owner_database_url)
    assert (await typed("people", "add", "eve", "--role", "admin")).exit_code == 0
    assert "not proved" in told(await typed("people", "add", "eve", "--by", "ada"))
    assert "not proved" in told(await typed("pause", "wf-1"))


async def test_an_approver_lends_their_own_word_and_nobody_elses(typed: Typed, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    async with database.transaction("default") as tx:
        await directory.put(tx, Person("ann", "Ann", "approver", frozenset({"finance"})), "tester")
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", await token(database, "ann", "decide"))
    assert (await typed("people", "delegate", "ann", "ope", "--group", "finance")).exit_code == 0
    assert "the token needs the scope admin" in told(await typed("people", "delegate", "ada", "ope", "--group", "finance"))


def test_the_console_and_its_api_ask_the_same_roles() -> None:
    asked = {(path.rpartition("/")[2], role) for method, path, role, _ in (*RULES, *api.rules()) if method == "POST"}
    assert {(act, NEEDS[act]) for act, _ in asked if act in NEEDS} == {(act, role) for act, role in asked if act in NEEDS}
    assert {"pause", "resume", "cancel", "retry", "fork", "undo", "forget"} <= {act for act, _ in asked}
