"""Starting, asking and ruling as people do who have the plain Temporal CLI and nothing of ours."""

import json
from typing import Any

from tests.arrivals import front_matter
from tests.machine import BLOG, NEWSLETTER, NOTES, NOW, SOCIAL, Machine

START = ("workflow", "start", "--task-queue", "perdure")
INPUT = {"automation": "content-ops", "input": {"sources": str(NOTES), "theme": "running services", **NOW}}


async def start(machine: Machine, id: str, input: Any = INPUT, type: str = "OrchestratorWorkflow") -> None:
    await machine.temporal(*START, "--type", type, "--workflow-id", id, "--input", json.dumps(input))


async def pending(machine: Machine, id: str) -> dict[str, str]:
    """Ask for the requests that wait, by tool."""
    said = await machine.temporal("workflow", "query", "--workflow-id", id, "--type", "pending", "-o", "json")
    (listed,) = json.loads(said.out)["queryResult"]
    return {line["tool"]: line["request"] for line in listed}


async def test_a_run_is_started_asked_and_ruled_to_its_end(own: Machine) -> None:
    await own.plan(BLOG, NEWSLETTER, SOCIAL)
    await start(own, "my-run")
    requests = await own.waiting("my-run", 3)
    ids = await pending(own, "my-run")
    assert ids == {tool: request.id for tool, request in requests.items()}
    edited = {**requests["blog.publish"].arguments, "title": "As ann wants it"}
    rulings: list[tuple[str, dict[str, Any]]] = [
        ("blog.publish", {"verdict": "edit", "arguments": edited, "reason": "a better title"}),
        ("newsletter.send", {"verdict": "approve", "reason": "looks right"}),
        ("social.post", {"verdict": "reject", "reason": "not for the public"}),
    ]
    for tool, ruling in rulings:
        await own.signal("my-run", "decide", {"request": ids[tool], "by": "ann", **ruling})
    found, arrived = await own.finished("my-run")
    assert (found.run.status, arrived.counts, arrived.each_once) == ("completed", (1, 1, 0), True)
    assert front_matter(arrived.posts[0])["title"] == "As ann wants it"
    why = (await own.starter("why", "my-run")).out
    assert "approved by ann over signal: looks right" in why
    assert "rejected by ann over signal: not for the public" in why


async def test_every_bad_signal_leaves_the_run_waiting_and_is_listed_by_show(own: Machine) -> None:
    await own.plan(BLOG, SOCIAL)
    await start(own, "ill-told")
    requests = await own.waiting("ill-told", 2)
    good: dict[str, Any] = {"request": requests["blog.publish"].id, "verdict": "approve", "by": "ann"}
    await own.signal("ill-told", "decide", good)
    await own.until("ill-told", lambda found: len(found.waiting) == 1)
    open_one = {**good, "request": requests["social.post"].id}
    bad: list[tuple[str, list[Any], str]] = [
        ("decide", [{**good, "request": "apr-nobody"}], "unknown request 'apr-nobody'"),
        ("decide", [good], "already decided by ann at "),
        ("decide", [{**open_one, "verdict": "maybe"}], "verdict: Input should be 'approve', 'reject' or 'edit'"),
        ("decide", [], "0 inputs were given"),
        ("decide", [open_one, open_one], "2 inputs were given"),
        ("decide", ["approve"], "valid dictionary"),
        ("decide", [{**open_one, "extra": 1}], "extra: Extra inputs are not permitted"),
        ("decide", [{**open_one, "verdict": "edit", "arguments": {"title": "no text"}}], "'text' is a required property"),
        ("aprove", [open_one], "there is no signal 'aprove'; `decide` is the one for people"),
    ]
    for name, inputs, _ in bad:
        await own.signal("ill-told", name, *inputs)
    found = await own.until("ill-told", lambda found: len(found.refusals) == len(bad))
    assert (found.run.status, [request.tool for request in found.waiting]) == ("running", ["social.post"])
    shown = await own.starter("show", "ill-told")
    listed = shown.out[shown.out.index("refused:") :].splitlines()
    assert [said for _, _, said in bad if not any(said in line for line in listed)] == []
    await own.signal("ill-told", "decide", open_one)
    _, arrived = await own.finished("ill-told")
    assert arrived.counts == (1, 0, 1)


async def test_a_start_with_another_type_fails_at_once_and_names_the_right_one(own: Machine) -> None:
    await start(own, "mistyped", type="CoordinatorWorkflow")
    await own.closed("mistyped")
    shown = await own.starter("show", "mistyped")
    assert "mistyped failed at" in shown.out
    assert "start it with --type OrchestratorWorkflow" in shown.out


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"automation": 5}, "automation: Input should be a valid string"),
    ({"automation": "content-ops", "inputs": {}}, "inputs: Extra inputs are not permitted"),
    ({"automation": "content-ops", "input": {"sources": "/tmp", "theme": 7}}, "input.theme: 7 is not of type 'string'"),
    ({"automation": "no-such"}, "has no automation 'no-such'; there are: content-ops"),
]


async def test_a_start_whose_json_is_wrong_fails_with_the_field_named(own: Machine) -> None:
    for nth, (input, _) in enumerate(MISFITS):
        await start(own, f"misfit-{nth}", input)
        await own.closed(f"misfit-{nth}")
    shown = await own.starters(*(["show", f"misfit-{nth}"] for nth in range(len(MISFITS))))
    assert [said for (_, said), show in zip(MISFITS, shown, strict=True) if said not in show.out] == []


async def test_a_start_without_any_input_fails_and_says_what_is_missing(own: Machine) -> None:
    await own.temporal(*START, "--type", "OrchestratorWorkflow", "--workflow-id", "no-input")
    await own.closed("no-input")
    assert "no-input failed at" in (await own.starter("show", "no-input")).out
