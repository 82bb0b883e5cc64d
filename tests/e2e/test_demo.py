"""The first command of a new user, with the embedded model: a real plan, a killed worker, every effect once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.machine import Machine

FIELDS = {"run", "status", "published", "decisions", "effects", "duplicate_effects", "worker_kills", "cost_micros", "seconds"}
pytestmark = pytest.mark.local_model


async def test_the_demo_publishes_three_pieces_once_although_its_worker_is_killed(own: Machine) -> None:
    # Without an endpoint in the environment, the stack brings its own model up, and the worker works with that.
    said = await own.starter("demo", "--yes", "--json", OPENAI_BASE_URL=None, OPENAI_API_KEY=None, PERDURE_MODEL=None)
    try:
        assert said.code == 0, said
        summary: dict[str, Any] = json.loads(said.out.strip().splitlines()[-1])
        assert summary.keys() >= FIELDS
        found, arrived = await own.finished(summary["run"])
        assert (summary["status"], summary["duplicate_effects"], summary["worker_kills"]) == ("completed", 0, 1)
        assert (arrived.counts, arrived.each_once) == ((1, 1, 1), True)
        assert sorted(piece["channel"] for piece in summary["published"]) == ["blog", "newsletter", "social"]
        (post,) = [piece["ref"] for piece in summary["published"] if piece["channel"] == "blog"]
        assert (own.state / "files" / "default" / "content-ops" / Path(post)).is_file()
        steps = [step.step for step in found.steps]
        assert (summary["effects"], summary["decisions"]) == (len(steps), 1)
        assert [step.status for step in found.steps] == ["done"] * len(steps)
        assert "the worker is gone in the middle of the run" in said.out
    finally:
        # The environment names the scripted model again: `up` gives the worker back to it.
        assert (await own.starter("up")).code == 0


async def test_the_demo_does_not_ask_where_nobody_can_answer(own: Machine) -> None:
    said = await own.starter("demo")
    assert (said.code, said.out, said.err.strip()) == (2, "", "there is no terminal to ask on: answer beforehand with --yes")
