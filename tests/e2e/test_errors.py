"""What goes wrong is one clear line and an exit code, never a trace."""

import json
from pathlib import Path

from tests.machine import BLOG, SOCIAL, Machine, Said
from tests.servers import free_port


def clear(said: Said, code: int, *words: str) -> None:
    """Check that a command failed with one line that has these words."""
    lines = said.err.strip().splitlines()
    assert (said.code, said.out, len(lines)) == (code, "", 1), said
    assert [word for word in words if word not in lines[0]] == []


async def test_without_a_stack_every_command_says_how_to_bring_it_up(own: Machine, tmp_path: Path) -> None:
    commands = (["list"], ["show", "any"], ["run", "content-ops"], ["approve", "apr-1"])
    for said in await own.starters(*commands, PERDURE_STATE=str(tmp_path)):
        clear(said, 2, "there is no database: run `starter.py up`")


async def test_a_postgres_that_is_down_is_named(own: Machine) -> None:
    url = f"postgresql://perdure_app:secret@127.0.0.1:{free_port()}/perdure"
    said = await own.starter("list", PERDURE_DATABASE_URL=url)
    clear(said, 2, "Postgres cannot be reached at 127.0.0.1:", "`starter.py status` shows the parts")
    assert "secret" not in said.err


async def test_a_temporal_that_is_down_is_named_and_what_the_ledger_knows_is_still_shown(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("half-blind")
    await own.waiting("half-blind", 1)
    down = f"127.0.0.1:{free_port()}"
    valid = '{"sources": "docs", "theme": "agents"}'
    clear(await own.starter("run", "content-ops", "--input", valid, TEMPORAL_ADDRESS=down), 2, f"Temporal cannot be reached at {down}")
    clear(await own.starter("run", "content-ops"), 2, "the input does not fit content-ops: input: 'sources' is a required property")
    shown = await own.starter("show", "half-blind", TEMPORAL_ADDRESS=down)
    assert shown.code == 0, shown
    assert "Temporal cannot be reached, so what is tried again is not shown" in shown.out
    assert "1 wait for a person" in shown.out


WRONG: list[tuple[list[str], int, tuple[str, ...]]] = [
    (["show", "nobody"], 2, ("tenant default has no run 'nobody'", "`starter.py list`")),
    (["approvals", "apr-no"], 2, ("tenant default has no request 'apr-no'", "`starter.py approvals`")),
    (["reject", "apr-no", "--reason", "so"], 1, ("unknown request 'apr-no'",)),
    (
        ["run", "content-ops", "--input", '{"sources": /tmp}'],
        2,
        ("--input is not JSON: Expecting value at line 1, column 13", """right is an object: '{"name": "value"}'"""),
    ),
    (["run", "content-ops", "--input", "[1]"], 2, ("--input is a JSON list; right is an object",)),
    (["list", "--tenant", "No Such"], 2, ("tenant 'No Such' is not a name",)),
    (["calendar", "move", "nothing", "+1h"], 2, ("the calendar of content-ops has no entry 'nothing'",)),
]


async def test_unknown_names_and_wrong_json_are_told_with_what_is_right(own: Machine) -> None:
    for said, (_, code, words) in zip(await own.starters(*(words for words, _, _ in WRONG)), WRONG, strict=True):
        clear(said, code, *words)
    clear(await own.starter("list", PERDURE_TENANT="No Such"), 2, "PERDURE_TENANT: ")


async def test_a_second_approval_and_a_second_start_are_refused_with_who_and_how_to_look(own: Machine) -> None:
    await own.plan(BLOG, SOCIAL)
    await own.start("twice")
    requests = await own.waiting("twice", 2)
    id = requests["blog.publish"].id
    assert (await own.starter("approve", id, "--by", "ann")).code == 0
    clear(await own.starter("approve", id, "--by", "ben"), 1, "already decided by ann at ")
    given = json.dumps({"sources": "x", "theme": "y"})
    clear(await own.starter("run", "content-ops", "--id", "twice", "--input", given), 1, "twice is running already", "show twice")
    shown = (await own.starter("show", "twice")).out
    assert "refused ruling from ben: already decided by ann at" in shown
    assert f"starter.py approve {requests['social.post'].id}" in shown


async def test_what_scripts_read_is_valid_json_and_ids_are_whole(own: Machine) -> None:
    await own.plan(SOCIAL)
    id = "a-workflow-id-that-is-longer-than-any-terminal-would-like-it-to-be-" + "x" * 60
    await own.start(id)
    await own.waiting(id, 1)
    commands = (["list"], ["show", id], ["why", id], ["approvals"], ["status"], ["calendar", "list"], ["apply", "content-ops"])
    for said in await own.starters(*([*words, "--json"] for words in commands), FORCE_COLOR="1", COLUMNS="40"):
        assert (said.code, json.loads(said.out) is not None, "\x1b" in said.out) == (0, True, False)
    listed = (await own.starter("list", COLUMNS="40")).out.splitlines()
    assert [line.split()[:2] for line in listed if line.startswith("a-workflow")] == [[id, "running"]]
