"""What operators see of a worker: its metrics, its health and its logs."""

import json
import re

import httpx2

from devstack.parts import WORKER
from devstack.stack import start_worker
from tests.e2e.test_plans import approve_all
from tests.machine import SOCIAL, Machine


def sample(page: str, name: str, **labels: str) -> float:
    """Return one number of a metrics page, 0 where it is not there."""
    for line in page.splitlines():
        found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
            return float(found[2])
    return 0.0


async def test_one_page_has_temporals_metrics_and_ours_and_healthz_answers(own: Machine) -> None:
    await own.plan(SOCIAL)
    before = await own.metrics()
    await own.start("measured")
    await approve_all(own, "measured", 1)
    await own.finished("measured")
    after = await own.metrics()
    assert "temporal_workflow_completed" in after
    for tool in ("brief.write", "draft.write", "calendar.place", "social.post"):
        name, labels = "perdure_tool_calls_total", {"tool": tool, "result": "done"}
        assert sample(after, name, **labels) - sample(before, name, **labels) == 1
    calls = sample(after, "perdure_model_calls_total", model="scripted") - sample(before, "perdure_model_calls_total", model="scripted")
    assert calls == 1
    async with httpx2.AsyncClient(trust_env=False) as client:
        health = await client.get(f"http://127.0.0.1:{own.environment['PERDURE_METRICS_PORT']}/healthz")
    assert (health.status_code, health.text) == (200, "ok\n")


async def test_a_worker_that_only_replays_a_run_counts_nothing(own: Machine) -> None:
    await own.plan(SOCIAL)
    await own.start("replayed")
    requests = await own.waiting("replayed", 1)
    settings = own.settings
    await WORKER.stop(settings)
    assert "no worker has taken it up" not in (await own.starter("show", "replayed")).out
    said = await own.starter("up")
    assert said.code == 0, said
    # A query makes the new worker replay the whole history.
    listed = await own.temporal("workflow", "query", "--workflow-id", "replayed", "--type", "pending", "-o", "json")
    assert requests["social.post"].id in listed.out
    page = await own.metrics()
    assert not [line for line in page.splitlines() if re.match(r"perdure_(tool|model)_calls_total|perdure_act_seconds_count", line)]
    await approve_all(own, "replayed", 1)
    _, arrived = await own.finished("replayed")
    assert arrived.counts == (0, 0, 1)
    assert sample(await own.metrics(), "perdure_tool_calls_total", tool="social.post", result="done") == 1
    await start_worker(settings)


async def test_a_log_line_is_json_and_names_run_step_and_tenant(own: Machine) -> None:
    await own.plan(SOCIAL)
    found_port = own.environment["PERDURE_RECEIVER_PORT"]
    async with httpx2.AsyncClient(trust_env=False) as client:
        (await client.put(f"http://127.0.0.1:{found_port}/faults", json={"status": 503, "times": 1, "retry_after": 0})).raise_for_status()
    await own.start("logged")
    await approve_all(own, "logged", 1)
    found, arrived = await own.finished("logged")
    assert arrived.counts == (0, 0, 1)
    lines = [json.loads(line) for line in WORKER.log(own.settings).read_text().splitlines()]
    (told,) = [line for line in lines if line["event"] == "will be tried again" and line.get("run") == found.run.lineage]
    assert (told["step"], told["tenant"], told["activity"], told["attempt"]) == ("s1.publish", "default", "act", 1)
    assert "the social network said 503" in told["error"]
