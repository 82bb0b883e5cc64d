"""Histories of real runs, replayed against the workflows of today: a run under way must survive a new version."""

import json
import re
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.workflow import NondeterminismError

from contracts.converter import DATA_CONVERTER
from tests.replay.record import HISTORIES, SCENES
from worker import RUNNER, SANDBOX, WORKFLOWS

FILES = sorted(HISTORIES.glob("*.json"))
RUNNERS = {"as workers run it": RUNNER, "with every module watched": SANDBOX}


async def replay(text: str, runner: WorkflowRunner) -> None:
    """Replay one history. Raises: NondeterminismError where today's workflow would have done something else."""
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=runner, data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(WorkflowHistory.from_json("run", text))


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_recorded_run_replays(path: Path, runner: str) -> None:
    await replay(path.read_text(), RUNNERS[runner])


def test_every_scene_has_a_history_and_the_continued_one_has_several() -> None:
    stems = {path.stem for path in FILES}
    assert set(SCENES) - {"continued"} <= stems and {"continued-1", "continued-2"} <= stems


async def test_a_workflow_that_does_something_else_is_noticed() -> None:
    events = json.loads((HISTORIES / "another-plan-and-undo.json").read_text())
    for event in events["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes", {})
        if scheduled.get("activityType", {}).get("name") == "undo":
            scheduled["activityType"]["name"] = "redo"
    with pytest.raises(NondeterminismError):
        await replay(json.dumps(events), RUNNER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_history_names_no_machine(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("/home/", f"{Path.home()}/", "/tmp/", "site-packages") if word in text]
    assert not re.findall(r"@(?!worker\b)", text)
