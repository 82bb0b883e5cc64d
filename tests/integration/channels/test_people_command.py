"""`starter.py people`, and what people type to rule: who is at the terminal is proved, and words are signed for the Temporal CLI."""

import asyncio
import json
import shlex
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from channels.cli import approvals as commands
from channels.cli import link, people, terminal
from contracts.approvals import Ruling
from contracts.errors import BadInput
from database import Database
from ledger import approvals, directory, signatures
from ledger.approvals import Request
from ledger.directory import Person
from settings import Settings
from tests.integration.ledger.people import asked

KEY = "k" * 40
Typed = Callable[..., Result]


@pytest.fixture
def typed(database_url: str, owner_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command against a fresh database, as who administers it."""
    monkeypatch.setenv("PERDURE_DATABASE_URL", database_url)
    monkeypatch.setenv("PERDURE_OWNER_DATABASE_URL", owner_database_url)
    # Nobody listens there: what is ruled is ruled all the same.
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    app = typer.Typer()
    people.register(app)
    commands.register(app)
    return lambda *words: CliRunner().invoke(app, list(words))


def on(url: str, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Do something in a transaction."""

    async def done() -> Any:
        database = await Database.connect(url, size=2)
        try:
            async with database.transaction("default") as tx:
                return await work(tx)
        finally:
            await database.close()

    return asyncio.run(done())


def put(url: str, request: Request) -> None:
    on(url, lambda tx: approvals.ask(tx, request))


def told(result: Result) -> str:
    """Return what a command said, on one line."""
    return " ".join((result.stdout + result.stderr).split())


def test_people_are_added_listed_disabled_and_stood_in_for(typed: Typed) -> None:
    assert "ann is an approver in finance" in told(typed("people", "add", "ann", "--group", "finance", "--name", "Ann"))
    assert typed("people", "add", "bob", "--role", "viewer").exit_code == 0
    assert "'bob' is nobody who may rule" in told(typed("people", "delegate", "ann", "bob", "--group", "finance"))
    assert "bob is an operator" in told(typed("people", "add", "bob", "--role", "operator"))
    assert "bob rules for ann in finance until" in told(typed("people", "delegate", "ann", "bob", "--group", "finance", "--days", "2"))
    listed = json.loads(typed("people", "list", "--json").stdout)
    assert [(one["id"], one["role"], one["groups"]) for one in listed["people"]] == [
        ("ann", "approver", ["finance"]),
        ("bob", "operator", []),
    ]
    [given] = listed["delegations"]
    assert typed("people", "revoke", given["id"]).exit_code == 0 and typed("people", "revoke", given["id"]).exit_code == 2
    assert typed("people", "disable", "ann").exit_code == 0 and "disabled" in told(typed("people", "list"))
    assert "disabled as before" in told(typed("people", "add", "ann", "--group", "finance"))
    assert "no enabled person 'ann'" in told(typed("people", "token", "ann"))
    assert typed("people", "enable", "ann").exit_code == 0 and "nobody 'eve'" in told(typed("people", "disable", "eve"))


def test_a_wrong_person_scope_or_role_is_told_with_what_is_right(typed: Typed) -> None:
    assert "an id is 1 to 100 of" in told(typed("people", "add", "Ann Other"))
    assert "there is no scope 'all'; there are: read, decide" in told(typed("people", "token", "ann", "--scope", "all"))
    assert "no enabled person 'ann'" in told(typed("people", "token", "ann"))
    assert typed("people", "add", "ann", "--role", "boss").exit_code == 2


def test_a_token_says_who_is_at_the_terminal(typed: Typed, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(database_url, asked())
    typed("people", "add", "ann", "--group", "finance")
    typed("people", "add", "bob", "--group", "editor")
    assert "believes signed rulings only" in told(typed("approve", "apr-1", "--by", "ann"))
    bob, reading, ann = (typed("people", "token", *words).stdout.strip() for words in (["bob"], ["ann", "--scope", "read"], ["ann"]))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", bob)
    assert "needs group finance" in told(typed("approve", "apr-1", "--by", "ann"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", reading)
    assert "with the scope `decide`" in told(typed("approve", "apr-1"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", ann)
    assert "approved by ann" in told(typed("approve", "apr-1")) and "already decided by ann" in told(typed("approve", "apr-1"))
    numbers = json.loads(typed("people", "numbers", "--json").stdout)
    assert numbers["doubtful"] == [] and set(numbers["times"]) == {"channel", "role", "automation", "person"}


def test_who_starts_a_run_is_whom_the_token_names(typed: Typed, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def starter(by: str | None = None) -> str:
        settings = Settings()
        async with link.database(settings) as database:
            return await terminal.named(settings, database, "default", by)

    typed("people", "add", "ann")
    assert asyncio.run(starter("bob")) == "bob"
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", typed("people", "token", "ann", "--scope", "read").stdout.strip())
    assert asyncio.run(starter()) == "ann" and asyncio.run(starter("bob")) == "ann"
    on(database_url, lambda tx: directory.put(tx, Person("ann", "Ann", "approver", disabled=True), "test"))
    with pytest.raises(BadInput, match="no token of tenant default"):
        asyncio.run(starter())


@pytest.mark.parametrize("output", [r'{"id": "a\u0000"}', r'{"id": "\ud800"}', '{"cost": 1e999}'])
def test_an_output_that_cannot_be_kept_is_refused_before_anything_is_ruled(typed: Typed, database_url: str, output: str) -> None:
    put(database_url, asked())
    said = typed("reject", "apr-1", "--reason", "the bank shows it", "--happened", "--output", output)
    assert said.exit_code == 2 and ("cannot be kept" in told(said) or "numbers must be" in told(said))
    found = on(database_url, lambda tx: approvals.read(tx, "apr-1"))
    assert found.state == "pending"


def test_a_signal_is_printed_signed_for_the_person_at_the_terminal(
    typed: Typed, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database_url, asked())
    typed("people", "add", "ann", "--group", "finance")
    assert "not proved who is speaking" in told(typed("approve", "apr-1", "--print-signal"))
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", typed("people", "token", "ann").stdout.strip())
    assert f"needs PERDURE_SECRET_{signatures.KEY_NAME}" in told(typed("approve", "apr-1", "--print-signal"))
    monkeypatch.setenv(f"PERDURE_SECRET_{signatures.KEY_NAME}", KEY)
    signal, update = typed("approve", "apr-1", "--reason", "it's fine", "--print-signal").stdout.splitlines()
    words = shlex.split(signal)
    assert words[:3] == ["temporal", "workflow", "signal"] and shlex.split(update)[:4] == ["temporal", "workflow", "update", "execute"]
    assert words[words.index("--workflow-id") + 1] == "wf-1" and words[words.index("--name") + 1] == "decide"
    said = Ruling.model_validate_json(words[words.index("--input") + 1])
    assert (said.by, said.reason, said.verdict) == ("ann", "it's fine", "approve")
    result = on(database_url, lambda tx: approvals.rule(tx, said, channel="signal", trusted=False, key=KEY))
    assert result.message == "approved by ann"


def test_the_glass_is_broken_by_two_and_reviewed_by_a_third(typed: Typed, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(database_url, asked(("finance", 2), break_glass=["ops"]))
    for name in ("ann", "bob"):
        monkeypatch.delenv("PERDURE_SECRET_API_TOKEN", raising=False)
        typed("people", "add", name, "--group", "ops")
        monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", typed("people", "token", name).stdout.strip())
        said = told(typed("break-glass", "apr-1", "--reason", "the site is down and people wait"))
    assert "approved by bob" in said and "apr-1" in told(typed("reviews"))
    assert "somebody else reviews it" in told(typed("review", "apr-1", "--note", "fine"))
    monkeypatch.delenv("PERDURE_SECRET_API_TOKEN")
    assert "not proved who is speaking" in told(typed("review", "apr-1", "--by", "joe", "--note", "it was needed"))
    typed("people", "add", "joe")
    monkeypatch.setenv("PERDURE_SECRET_API_TOKEN", typed("people", "token", "joe").stdout.strip())
    assert "apr-1 is reviewed" in told(typed("review", "apr-1", "--note", "it was needed"))
    assert "nothing waits for a review" in told(typed("reviews"))
