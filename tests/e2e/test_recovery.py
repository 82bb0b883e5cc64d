"""What was ended from outside, and what should not have been done: by the commands that people type."""

import json

from contracts import names
from tests.machine import BLOG, NEWSLETTER, Machine


async def test_a_run_that_the_temporal_cli_terminated_is_closed_by_reconcile(own: Machine) -> None:
    await own.plan(BLOG)
    await own.start("struck")
    requests = await own.waiting("struck", 1)
    await own.temporal("workflow", "terminate", "--workflow-id", "struck", "--reason", "by hand")
    dry = await own.starter("reconcile", "--dry-run")
    assert dry.code == 0 and "would be: closed as failed" in dry.out, dry
    said = await own.starter("reconcile", "--json")
    assert said.code == 0, said
    assert {found["kind"] for found in json.loads(said.out)["findings"] if found["run"] == "struck"} >= {"run"}
    found = await own.ended("struck")
    assert found.run.summary == "terminated in Temporal, from outside; closed by reconcile" and found.waiting == []
    late = await own.starter("approve", requests["blog.publish"].id)
    assert late.code == 1 and "already decided: cancelled" in late.err


async def test_a_run_that_the_temporal_cli_deleted_is_closed_by_reconcile(own: Machine) -> None:
    await own.plan(BLOG)
    # Another one, which Temporal knows: without any it might be another server than the ledger's.
    await own.start("neighbour")
    await own.waiting("neighbour", 1)
    await own.start("vanished")
    await own.waiting("vanished", 1)
    await own.temporal("workflow", "delete", "--workflow-id", "vanished")

    async def gone() -> bool:
        said = await own.starter("reconcile")
        return said.code == 0 and "Temporal does not know it any more" in said.out

    for _ in range(20):
        if await gone():
            break
    assert (await own.ended("vanished")).run.summary.startswith("Temporal does not know it any more")


async def test_a_finished_run_is_undone_by_a_command_that_says_first_what_it_would_do(own: Machine) -> None:
    await own.plan(BLOG, NEWSLETTER)
    await own.start("regretted")
    for request in (await own.waiting("regretted", 2)).values():
        assert (await own.starter("approve", request.id)).code == 0
    _, arrived = await own.finished("regretted")
    assert arrived.counts == (1, 1, 0)
    dry = await own.starter("undo", "regretted", "--dry-run")
    assert dry.code == 0 and "blog.unpublish(" in dry.out, dry
    assert (await own.finished("regretted"))[1].counts == (1, 1, 0)
    said = await own.starter("undo", "regretted", "--reason", "the wrong theme")
    # Taking a mail back is another mail, which passes a person: the command says so and the undo goes on without it.
    if "a person is asked" in said.out:
        for request in (await own.until("regretted", lambda found: bool(found.waiting))).waiting:
            assert (await own.starter("approve", request.id)).code == 0
        await own.until("regretted", lambda found: not found.waiting)
    found, arrived = await own.finished("regretted")
    assert arrived.counts[0] == 0
    why = (await own.starter("why", "regretted")).out
    assert "ordered that it be undone: the wrong theme" in " ".join(why.split())
    await own.closed(names.undo_id(found.run.lineage))


async def test_what_cannot_be_undone_is_told_in_one_line(own: Machine) -> None:
    await own.plan(BLOG)
    await own.start("open-still")
    await own.waiting("open-still", 1)
    running = await own.starter("undo", "open-still")
    assert running.code == 2 and "open-still is under way" in running.err
    nobody = await own.starter("undo", "nobody")
    assert nobody.code == 2 and "has no run 'nobody'" in nobody.err
    step = (await own.starter("undo", "regretted", "--from", "nope")).err
    assert "has no step 'nope'; it has" in step


async def test_a_schedule_compares_from_time_to_time(own: Machine) -> None:
    listed = json.loads((await own.temporal("schedule", "list", "-o", "json")).out)
    assert [row["scheduleId"] for row in listed] == ["perdure-reconcile-default"]
    wrong = await own.starter("reconcile", "--every", "often")
    assert wrong.code == 2 and "right is PT5M for five minutes" in wrong.err
    await own.temporal("schedule", "trigger", "--schedule-id", "perdure-reconcile-default")

    async def ran() -> bool:
        listed = await own.temporal("workflow", "list", "--query", "WorkflowType='ReconcileWorkflow'", "-o", "json")
        return "COMPLETED" in listed.out

    for _ in range(20):
        if await ran():
            break
    assert await ran()
