"""Operating runs as people do: by `starter.py`, and by the plain Temporal CLI."""

import json
from typing import Any

from contracts import names
from tests.e2e.test_errors import clear
from tests.e2e.test_temporal_cli import pending, start
from tests.machine import BLOG, NEWSLETTER, SOCIAL, Machine
from tests.servers import until


async def progress(machine: Machine, id: str) -> dict[str, Any]:
    """Ask a run how far it is."""
    said = await machine.temporal("workflow", "query", "--workflow-id", id, "--type", names.PROGRESS, "-o", "json")
    return json.loads(said.out)["queryResult"][0]


async def test_a_run_is_paused_ruled_and_resumed_with_the_plain_temporal_cli(own: Machine) -> None:
    await own.plan(BLOG)
    await start(own, "held")
    requests = await own.waiting("held", 1)
    await own.signal("held", "pause", {"by": "ann", "reason": "a fire drill"})
    await own.until("held", lambda found: found.run.paused_at is not None)

    async def knows() -> bool:
        return (await progress(own, "held")).get("paused", {}) != {}

    await until(knows)
    assert (await progress(own, "held"))["paused"]["by"] == "ann"
    assert await pending(own, "held") == {"blog.publish": requests["blog.publish"].id}
    shown, listed, why = await own.starters(["show", "held"], ["list"], ["why", "held"])
    assert "held paused" in shown.out and "paused by ann since " in shown.out and "a fire drill" in shown.out
    assert "paused by ann since " in next(line for line in listed.out.splitlines() if line.startswith("held "))
    assert "ann paused the run over signal: a fire drill" in why.out
    await own.signal("held", "decide", {"request": requests["blog.publish"].id, "verdict": "approve", "by": "ann"})
    await own.until("held", lambda found: found.requests[0].state == "approved")
    await own.signal("held", "retry", {"by": "ann", "step": "nothing"})
    await own.until("held", lambda found: any("has no step 'nothing'" in refusal.body["why"] for refusal in found.refusals))
    await own.signal("held", "resume", {"by": "ben"})
    found, arrived = await own.finished("held")
    assert (found.run.status, arrived.counts) == ("completed", (1, 0, 0))


async def test_a_step_that_failed_is_retried_with_the_plain_temporal_cli_once_its_cause_is_mended(own: Machine) -> None:
    template = own.automations / "content-ops" / "templates" / "blog.md.j2"
    text = template.read_text()
    template.unlink()
    try:
        await own.plan(BLOG, SOCIAL)
        await start(own, "mended")
        found = await own.until("mended", lambda found: any(step.status == "failed" for step in found.steps) and len(found.waiting) == 1)
    finally:
        template.write_text(text)
    failed = next(step for step in found.steps if step.status == "failed")
    assert "has no template 'blog.md.j2'" in failed.detail
    await own.signal("mended", "retry", {"by": "ann", "step": failed.step, "reason": "it is back"})
    for request in (await own.waiting("mended", 2)).values():
        await own.signal("mended", "decide", {"request": request.id, "verdict": "approve", "by": "ann"})
    ended, arrived = await own.finished("mended")
    assert (ended.run.status, arrived.counts) == ("completed", (1, 0, 1))
    assert "ann opened the step again, which had failed" in (await own.starter("why", "mended")).out


async def test_a_run_is_paused_resumed_and_cancelled_with_what_it_did_left(own: Machine) -> None:
    await own.plan(BLOG, NEWSLETTER)
    await own.start("stopped")
    requests = await own.waiting("stopped", 2)
    clear(await own.starter("pause", "stopped", "--by", "olga"), 1, "the directory has nobody 'olga'")
    assert (await own.starter("people", "add", "olga", "--role", "operator")).code == 0
    assert "stopped is paused: what runs comes to its end" in (await own.starter("pause", "stopped", "--by", "olga")).out
    again = await own.starter("pause", "stopped", "--json")
    assert again.json["accepted"] and not again.json["changed"] and "paused by olga since" in again.json["message"]
    assert (await own.starter("approve", requests["blog.publish"].id)).code == 0
    assert "stopped goes on" in (await own.starter("resume", "stopped")).out
    await own.until("stopped", lambda found: any(step.tool == "blog.publish" and step.status == "done" for step in found.steps))
    clear(await own.starter("cancel", "stopped", "--undo", "--leave"), 2, "--undo and --leave exclude each other")
    assert "is being cancelled: what it did is left" in (await own.starter("cancel", "stopped", "--leave", "--reason", "enough")).out
    found, arrived = await own.finished("stopped")
    assert (found.run.status, arrived.counts) == ("cancelled", (1, 0, 0))
    assert "cancelled the run, leaving what it did over cli: enough" in (await own.starter("why", "stopped")).out


async def test_a_fork_by_the_command_line_shares_what_was_done_and_names_its_original(own: Machine) -> None:
    await own.plan(BLOG, SOCIAL)
    await own.start("origin")
    for request in (await own.waiting("origin", 2)).values():
        await own.starter("approve", request.id)
    found, _ = await own.finished("origin")
    social = next(step.step for step in found.steps if step.tool == "social.post")
    said = await own.starter("fork", "origin", "--from", social, "--id", "branch", "--bundle", found.run.bundle[:12], "--reason", "again")
    assert said.code == 0 and f"forked origin at {social} as branch" in said.out
    request = (await own.waiting("branch", 1))["social.post"]
    assert "done already in origin" in request.reason
    clear(await own.starter("fork", "origin", "--from", social, "--id", "branch"), 1, "branch is running already")
    shown, why, original = await own.starters(["show", "branch"], ["why", "branch"], ["show", "origin"])
    assert f"forked from origin at {social}; inherited and not run again: " in shown.out and f"inherited: {found.run.lineage}/" in shown.out
    assert f"forked this run from origin at {social}: again" in why.out
    assert f"forks: branch (at {social}, running)" in original.out
    await own.starter("reject", request.id, "--reason", "once was enough")
    ended, arrived = await own.finished("branch")
    assert ended.run.status == "completed" and arrived.counts == (0, 0, 0)


async def test_what_cannot_be_operated_is_one_line_with_what_is_right(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("wrong")
    request = (await own.waiting("wrong", 1))["social.post"]
    await own.starter("approve", request.id)
    found, _ = await own.finished("wrong")
    done = request.step
    cases: list[tuple[list[str], int, tuple[str, ...]]] = [
        (["pause", "nobody"], 2, ("tenant default has no run 'nobody'", "`starter.py list`")),
        (["fork", "nobody", "--from", "a"], 2, ("tenant default has no run 'nobody'",)),
        (["cancel", "x" * 5000], 2, (f"tenant default has no run '{'x' * 79}…': `starter.py list`",)),
        (["pause", "wrong"], 1, ("wrong is completed since", "only a run under way can be paused")),
        (["resume", "wrong"], 1, ("wrong is completed since",)),
        (["cancel", "wrong"], 1, ("wrong is completed since",)),
        (["retry", "wrong", done], 1, ("wrong is completed since", f"`starter.py fork wrong --from {done}` begins a new run there")),
        (["fork", "wrong", "--from", "never"], 2, ("wrong has no step 'never'; steps: ", "decisions: d1")),
        (["fork", "wrong", "--from", done, "--bundle", "ffffffff"], 2, ("content-ops has no bundle whose hash is, or begins 'ffffffff'",)),
        (["fork", "wrong", "--from", done, "--bundle", found.run.bundle[:3]], 2, ("give at least 8 characters",)),
        (["pause", "wrong", "--by", "x" * 300], 2, ("by: String should have at most 200 characters",)),
    ]
    for said, (_, code, words) in zip(await own.starters(*(words for words, _, _ in cases)), cases, strict=True):
        clear(said, code, *words)
