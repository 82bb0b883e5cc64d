"""`starter.py memory`: add, import, recall, show, forget, stats and check, and one clear error for what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from channels.cli import memory
from database import Database

Terminal = Callable[..., Result]

SAID = [
    ("m1", "ann", "We moved the release to Friday because the tests were red"),
    ("m2", "bob", "Who tells the customers about the release?"),
    ("m3", "ann", "Zelda writes to them tomorrow morning"),
    ("m4", "bob", "The kitchen needs a new kettle"),
]


def file_of(folder: Path, name: str, *lines: Any) -> str:
    path = folder / name
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines) + "\n")
    return str(path)


def said(tenant: str) -> list[dict[str, Any]]:
    at = "2026-01-05T10:00:00Z"
    return [{"id": id, "tenant": tenant, "session": "s1", "speaker": speaker, "text": text, "at": at} for id, speaker, text in SAID]


@pytest.fixture
def terminal(database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PERDURE_DATABASE_URL", database_url)
    monkeypatch.setenv("PERDURE_ONE_MACHINE", "true")
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key of the tests")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> Result:
        app = typer.Typer()
        app.command("nothing")(lambda: None)
        memory.register(app)
        done = CliRunner().invoke(app, ["memory", *words])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run


def test_a_file_is_imported_recalled_shown_counted_checked_and_somebody_forgotten(terminal: Terminal, tmp_path: Path) -> None:
    path = file_of(tmp_path, "said.jsonl", *said("acme"))
    first = terminal("import", path)
    assert "tenant acme did not exist and was created" in first.stdout
    assert "4 new in " in first.stdout and "their vectors followed in " in first.stdout
    again = json.loads(terminal("import", path, "--json").stdout)
    assert (again["new"], again["duplicate"], again["created"]) == (0, 4, [])

    queries = file_of(
        tmp_path,
        "queries.jsonl",
        {"id": "q1", "query": "When is the release?", "tenant": "acme", "filter": {"speakers": ["ann"]}},
        {"id": "q2", "query": "kettle", "tenant": "acme"},
    )
    answered = terminal("recall", "--queries", queries, "--k", "2", "--json")
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [answer.keys() for answer in answers] == [{"id", "mode", "ms", "hits"}] * 2
    assert [(answer["id"], answer["mode"], answer["hits"][0]["id"]) for answer in answers] == [("q1", "exact", "m1"), ("q2", "exact", "m4")]
    assert {hit["id"] for hit in answers[0]["hits"]} == {"m1", "m3"}
    assert all(hit.keys() == {"id", "score"} for answer in answers for hit in answer["hits"])
    assert all(answer["hits"][0]["score"] >= answer["hits"][1]["score"] for answer in answers)

    found = terminal("recall", "who needs a kettle", "--tenant", "acme", "--k", "1")
    assert "m4" in found.stdout and "The kitchen needs a new kettle" in found.stdout and "exact, " in found.stdout
    shown = json.loads(terminal("show", "m1", "--tenant", "acme", "--json").stdout)
    assert (shown["fact"]["id"], shown["fact"]["lineage"], shown["episodes"][0]["id"]) == ("m1", "import", "m1")
    assert "said.jsonl" in terminal("show", "m1", "--tenant", "acme").stdout
    counted = json.loads(terminal("stats", "--tenant", "acme", "--json").stdout)
    assert (counted["episodes"], counted["facts"], counted["models"][0]["vectors"]) == (4, 4, 4)
    assert terminal("check", "--tenant", "acme").stdout == "sound\n"

    gone = json.loads(terminal("forget", "Zelda", "--yes", "--reason", "she asked", "--tenant", "acme", "--json").stdout)
    assert gone["complete"] is True
    assert json.loads(terminal("import", path, "--json").stdout)["new"] == 0
    everything = terminal("recall", "Zelda writes to the customers", "--tenant", "acme", "--json")
    assert "elda" not in everything.stdout and "[forgotten] writes to them" in everything.stdout
    assert terminal("check", "--tenant", "acme").stdout == "sound\n"


def test_further_spellings_are_counted_first_and_forgotten_together(terminal: Terminal) -> None:
    for text in ("Quimby, Zelda keeps bees", "see zelda%20quimby", "write to zq@example.com", "Zelda is a name"):
        terminal("add", text)
    order = ("forget", "Zelda Quimby", "--also", "zq@example.com", "--also", "Z. Q. Honey")
    counted = terminal(*order, "--dry-run").stdout
    assert "would be deleted: nothing" in counted and "the name taken out of: 3 fact" in counted
    assert "Zelda Quimby: nothing deleted; out of 2 fact" in counted and "zq@example.com: nothing deleted; out of 1 fact" in counted
    assert "Z. Q. Honey: nothing deleted; out of nothing" in counted
    before = json.loads(terminal(*order, "--dry-run", "--json").stdout)
    assert "zelda%20quimby" in terminal("recall", "see", "--json").stdout
    gone = json.loads(terminal(*order, "--yes", "--json").stdout)
    assert [each["spelling"] for each in gone["spellings"]] == ["Zelda Quimby", "zq@example.com", "Z. Q. Honey"]
    assert {**gone, "id": 0, "dry_run": True} == before
    assert "forgotten" in terminal("add", "x", "--subject", "Honey, Z. Q.", code=1).stderr
    assert json.loads(terminal(*order, "--yes", "--json").stdout)["redacted"] == {}
    assert "'q' is no name to forget" in terminal("forget", "Zelda", "--also", "q", "--yes", code=2).stderr


def test_a_fact_is_added_once_however_often_its_command_is_repeated(terminal: Terminal) -> None:
    first = json.loads(terminal("add", "The office is in Graz", "--subject", "office", "--key", "k1", "--json").stdout)
    again = json.loads(terminal("add", "The office is in Graz", "--subject", "office", "--key", "k1", "--json").stdout)
    assert first == again
    other = terminal("add", "The office is in Graz", "--subject", "office")
    assert other.stdout == f"{first['id']} (was remembered already)\n"
    refused = terminal("add", "The office is in Wien", "--key", "k1", code=2)
    assert "was made before with another content" in refused.stderr
    assert "The office is in Graz" in terminal("recall", "where is the office", "--k", "1").stdout


NOWHERE = {
    "recall": (["recall", "x", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    "show": (["show", "m1", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    "forget": (["forget", "Ann", "--yes", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    "stats": (["stats", "--tenant", "nobody"], "tenant 'nobody' does not exist"),
    "no tenant's name": (["recall", "x", "--tenant", "No Body"], "tenant 'No Body' is not a name"),
    "no such id": (["show", "nothing"], "tenant default remembers nothing under the id 'nothing'"),
    "an empty text": (["add", " "], "is empty: there is nothing to remember"),
    "a text that nobody sees": (["add", "\u200b \u2060"], "is empty: there is nothing to remember"),
    "a bad date": (["add", "x", "--valid-from", "soon"], "the date 'soon' is no date; right is 2026-01-31T09:30:00Z"),
    "an empty query": (["recall", " "], "a query needs a text"),
    "no query": (["recall"], "give a QUERY, or --queries FILE.jsonl"),
    "a filter that is no JSON": (["recall", "x", "--filter", "ann"], "--filter is not JSON"),
    "a filter of no field": (["recall", "x", "--filter", '{"speaker": "ann"}'], "filter: there is no field 'speaker'; there are scopes"),
    "a name of one letter": (["forget", "A", "--yes"], "'A' is no name to forget"),
    "no file": (["import", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file or directory"),
    "a folder": (["import", "."], ". cannot be read: Is a directory"),
    "no file of queries": (["recall", "--queries", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file or directory"),
}


def test_bad_input_is_one_clear_error(terminal: Terminal) -> None:
    for words, why in NOWHERE.values():
        done = terminal(*words, code=2)
        assert why in done.stderr
        assert (done.stdout, len(done.stderr.strip().splitlines())) == ("", 1)


def test_a_broken_line_keeps_the_file_out_or_itself_alone(terminal: Terminal, tmp_path: Path) -> None:
    path = file_of(tmp_path, "said.jsonl", *said("broken")[:2], "nonsense", *said("broken")[2:])
    refused = terminal("import", path, code=2)
    assert f"{path}: 1 lines are broken, so none is kept; --keep-good keeps the others\nline 3: it is not JSON" in refused.stderr
    assert "does not exist" in terminal("stats", "--tenant", "broken", code=2).stderr
    good = terminal("import", path, "--keep-good", code=1)
    assert "4 new in " in good.stdout
    assert "1 broken lines are not kept\nline 3: it is not JSON" in good.stderr


def test_a_broken_query_is_told_by_its_line_and_none_is_asked(terminal: Terminal, tmp_path: Path) -> None:
    good, bad = {"id": "q1", "query": "x", "filter": None}, {"id": "q2", "query": "x", "filter": ["ann"]}
    empty = [{"id": "q4", "query": "x", "filter": filter} for filter in ([], "", False)]
    done = terminal("recall", "--queries", file_of(tmp_path, "q.jsonl", good, bad, {"id": "q3"}, *empty), "--json", code=2)
    assert done.stdout == "" and "line 1:" not in done.stderr
    assert "line 2: filter is a JSON list" in done.stderr and "line 3: query is missing or empty" in done.stderr
    # What says nothing is no filter that lets everything pass.
    assert [f"line {nth}: filter is a JSON " in done.stderr for nth in (4, 5, 6)] == [True] * 3


def test_where_people_share_a_database_only_an_admin_creates_a_tenant(
    terminal: Terminal, tmp_path: Path, owner_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, "said.jsonl", *said("shared"))
    monkeypatch.delenv("PERDURE_ONE_MACHINE")
    for words in (["import", path], ["add", "x", "--tenant", "shared"]):
        assert "tenant 'shared' does not exist, and only an admin may create it" in terminal(*words, code=2).stderr
    monkeypatch.setenv("PERDURE_OWNER_DATABASE_URL", owner_database_url)
    assert "tenant shared did not exist and was created" in terminal("import", path, "--no-vectors").stdout
