from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from channels.explain import Explained, moment
from channels.standing import later, standing, unopened
from channels.under_way import Call, UnderWay
from ledger.runs import RunRow
from ledger.steps import StepRow

AT = datetime(2030, 1, 31, 9, tzinfo=UTC)
RUN = RunRow("lineage", "my-run", "any", "orchestrator", "0" * 64, "ann", {}, "running", "", AT, None)
SEEN = UnderWay("my-run", "lineage", "running", None, "", [], None)


def step(status: str, detail: str = "", *, ended: bool = True) -> StepRow:
    return StepRow("s1", "d1", "a.tool", {}, [], "", False, status, 1, detail, None, AT if ended else None)


def explained(run: RunRow = RUN, *steps: StepRow, records: list[dict[str, Any]] | None = None) -> Explained:
    return Explained(run, 0, 0, 0, list(steps), [], [moment(row, {}) for row in records or []])


def call(**changes: Any) -> Call:
    return replace(Call("act", "s1", 1, False, AT, None, ""), **changes)


def test_a_run_without_a_plan_is_deciding() -> None:
    assert standing(explained(), SEEN) == ["deciding: its planner has not answered yet"]


def test_a_paused_run_says_who_paused_it_since_when_and_how_it_goes_on() -> None:
    held = replace(RUN, paused_by="ann", paused_at=AT, paused_reason="lunch")
    (line, *_) = standing(explained(held, step("planned", ended=False)), SEEN)
    assert line == "paused by ann since 2030-01-31 09:00:00 UTC: lunch; `starter.py resume my-run` lets it go on"


def test_a_run_that_is_being_cancelled_says_by_whom() -> None:
    (line, *_) = standing(explained(replace(RUN, cancelled_by="ann", cancelled_at=AT)), SEEN)
    assert line == "is being cancelled by ann since 2030-01-31 09:00:00 UTC"


def test_a_fork_names_its_original_and_an_original_its_forks() -> None:
    kept = replace(step("done"), inherited="lineage/s1/1")
    fork = replace(RUN, lineage="younger", workflow_id="my-run-fork-1", parent="lineage", parent_step="s2", ancestors=["lineage"])
    family = replace(explained(fork, kept), original=RUN)
    assert standing(family, None) == ["forked from my-run at s2; inherited and not run again: s1"]
    assert standing(replace(explained(RUN, kept), forks=[fork]), None) == ["forks: my-run-fork-1 (at s2, running)"]


def test_a_call_that_is_tried_again_says_what_failed_and_when_it_begins() -> None:
    seen = replace(SEEN, calls=[call(attempt=3, next_at=AT, said="the mail server is away")])
    expected = "act s1 is tried again, attempt 3 begins at 2030-01-31 09:00:00 UTC; attempt 2 failed: the mail server is away"
    assert standing(explained(), seen) == [expected]


def test_a_call_at_work_says_since_when() -> None:
    assert standing(explained(), replace(SEEN, calls=[call(started=True)])) == ["act s1 is at work since 2030-01-31 09:00:00 UTC"]


def test_a_task_that_lies_untaken_asks_for_a_worker() -> None:
    (line,) = standing(explained(), replace(SEEN, untaken=AT - timedelta(days=9000)))
    assert line.startswith("no worker has taken it up since ")


def test_code_that_fails_again_and_again_is_told() -> None:
    assert standing(explained(), replace(SEEN, stuck="a bug")) == ["its own code fails and is tried again: a bug"]


def test_a_step_that_waits_for_its_slot_says_how_long() -> None:
    at = datetime.now(UTC) + timedelta(minutes=10, seconds=1)
    waits = step("waiting", f"for its slot at {at:%Y-%m-%d %H:%M:%S} UTC", ended=False)
    (line,) = standing(explained(RUN, waits), SEEN)
    assert line == f"s1 (a.tool) waits for its slot at {at:%Y-%m-%d %H:%M:%S} UTC, in 10 min"


def test_a_failed_run_names_the_step_and_what_was_undone() -> None:
    failed = replace(RUN, status="failed", ended_at=AT + timedelta(seconds=5))
    undone = {"kind": "effect", "step": "s1", "at": AT, "body": {"event": "undone", "tool": "a.undo"}}
    assert standing(explained(failed, step("failed", "no such note"), records=[undone]), None) == [
        "failed at 2030-01-31 09:00:05 UTC, after 5 s",
        "s1 (a.tool) failed: no such note",
        "1 effect was undone",
    ]


def test_a_run_that_temporal_ended_from_outside_says_so() -> None:
    seen = replace(SEEN, status="terminated", closed_at=AT, failure="by hand")
    (line,) = standing(explained(), seen)
    assert (
        line == "Temporal says that it was terminated at 2030-01-31 09:00:00 UTC (by hand), before the run could end itself in the ledger"
    )


def test_a_run_that_never_opened_gives_temporals_reason() -> None:
    seen = replace(SEEN, status="failed", closed_at=AT, failure="no automation 'x'")
    assert unopened(seen) == ["my-run failed at 2030-01-31 09:00:00 UTC and never opened: no automation 'x'"]
    assert later(seen) == "a later start of the same workflow ID failed and never opened: no automation 'x'"
    assert unopened(SEEN) == ["my-run is starting and has not opened yet"]
