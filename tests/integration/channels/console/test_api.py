"""The API: what the console does, and a description that holds."""

import asyncio
from typing import Any

import httpx2
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from channels.console.api import OPERATIONS
from ledger import reviews
from tests.integration.channels.console.conftest import Console
from tests.integration.ledger import rows

CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection,
    unsupported_method,
)  # fmt: skip
DIGEST = rows.DIGEST


@pytest.fixture
async def machine(console: Console) -> Any:
    """Ask in the name of Ada, who is an admin."""
    headers = {"authorization": f"Bearer {await console.token('ada')}"}
    async with httpx2.AsyncClient(base_url=console.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


async def test_what_waits_is_listed_shown_and_ruled_on(console: Console, machine: httpx2.AsyncClient) -> None:
    await console.asked()
    listed = (await machine.get("/api/v1/requests")).json()
    assert [one["request"] for one in listed["requests"]] == ["apr-1"] and listed["more"] is False
    shown = (await machine.get("/api/v1/requests/apr-1")).json()
    assert shown["arguments"] == {"title": "x"} and shown["digest"] == DIGEST and shown["risk"] == "low"
    ruled = await machine.post("/api/v1/requests/apr-1/ruling", json={"verdict": "approve", "digest": DIGEST})
    assert ruled.json() == {"request": "apr-1", "accepted": True, "ended": True, "message": ruled.json()["message"]}
    again = (await machine.post("/api/v1/requests/apr-1/ruling", json={"verdict": "reject", "digest": DIGEST, "reason": "no"})).json()
    assert again["accepted"] is False and "already decided by ada" in again["message"]
    found = await console.read()
    assert found.ruling is not None and found.ruling["channel"] == "api" and found.ruled_by == "ada"


async def test_that_it_did_happen_is_said_with_its_output_where_it_is_asked(console: Console, machine: httpx2.AsyncClient) -> None:
    result = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    await console.asked(question="again", about={"result": result})
    shown = (await machine.get("/api/v1/requests/apr-1")).json()
    assert shown["question"] == "again" and shown["result_schema"] == result
    said = {"verdict": "reject", "digest": DIGEST, "reason": "the bank shows it", "happened": True}
    wrong = (await machine.post("/api/v1/requests/apr-1/ruling", json={**said, "output": {"id": 7}})).json()
    assert wrong["accepted"] is False and wrong["message"].startswith("id: 7 is not of type")
    assert (await machine.post("/api/v1/requests/apr-1/ruling", json={**said, "output": []})).status_code == 400
    assert (await machine.post("/api/v1/requests/apr-1/ruling", json={**said, "output": {"id": "p-1"}})).json()["accepted"] is True
    found = await console.read()
    assert found.ruling is not None and found.ruling["happened"] is True and found.ruling["output"] == {"id": "p-1"}


async def test_alerts_and_reviews_are_read_and_a_review_is_closed(console: Console, machine: httpx2.AsyncClient) -> None:
    await console.asked()
    assert (await machine.get("/api/v1/alerts")).json() == {"alerts": []} and (await machine.get("/api/v1/reviews")).json() == {
        "reviews": []
    }
    async with console.database.transaction("default") as tx:
        await reviews.open_review(tx, "apr-1", rows.LINEAGE, "s1", ["joe", "kim"])
    [alert] = (await machine.get("/api/v1/alerts")).json()["alerts"]
    assert (
        alert["id"] == "glass/apr-1" and alert["request"] == "apr-1" and alert["people"] == ["joe", "kim"] and alert["groups"] == ["editor"]
    )
    [waiting] = (await machine.get("/api/v1/reviews")).json()["reviews"]
    assert (waiting["request"], waiting["run"], waiting["people"]) == ("apr-1", "wf-1", ["joe", "kim"])
    for note in ("", " "):
        assert (await machine.post("/api/v1/requests/apr-1/review", json={"note": note})).status_code == 400
    assert (await machine.post("/api/v1/requests/apr-2/review", json={"note": "fine"})).status_code == 404
    closed = await machine.post("/api/v1/requests/apr-1/review", json={"note": "it was needed"})
    assert closed.json() == {"accepted": True, "changed": True, "message": "reviewed by ada"}
    assert (await machine.post("/api/v1/requests/apr-1/review", json={"note": "again"})).json() == {"error": "no review of 'apr-1' is open"}
    assert (await machine.get("/api/v1/alerts")).json() == {"alerts": []}


async def test_what_waits_is_listed_page_by_page_or_all_in_one(console: Console, machine: httpx2.AsyncClient) -> None:
    for nth in range(3):
        await console.asked(f"apr-{nth}", step=f"s{nth}")
    first = (await machine.get("/api/v1/requests", params={"limit": 2})).json()
    assert [one["request"] for one in first["requests"]] == ["apr-0", "apr-1"] and first["more"] is True and first["waiting"] == 3
    rest = (await machine.get("/api/v1/requests", params={"limit": 2, "after": "apr-1"})).json()
    assert [one["request"] for one in rest["requests"]] == ["apr-2"] and rest["more"] is False and rest["waiting"] == 3
    whole = (await machine.get("/api/v1/requests", params={"limit": 10_000, "risk": "low"})).json()
    assert len(whole["requests"]) == whole["waiting"] == 3 and whole["more"] is False
    assert (await machine.get("/api/v1/requests", params={"risk": "high"})).json() == {"requests": [], "more": False, "waiting": 0}
    assert (await machine.get("/api/v1/requests", params={"limit": 10_001})).status_code == 400
    lost = await machine.get("/api/v1/requests", params={"after": "apr-9"})
    assert lost.status_code == 404 and lost.json() == {"error": "there is no request 'apr-9' here that the list could go on from"}


async def test_runs_are_listed_page_by_page_and_shown(console: Console, machine: httpx2.AsyncClient) -> None:
    await console.asked()
    first = (await machine.get("/api/v1/runs", params={"limit": 1})).json()
    assert [run["run"] for run in first["runs"]] == ["wf-1"] and first["runs"][0]["waiting"] == 1
    whole = (await machine.get(f"/api/v1/runs/{rows.LINEAGE}")).json()
    assert whole["run"] == "wf-1" and whole["status"] == "running" and [line["kind"] for line in whole["timeline"]] == ["ruling"]


SAID = b'"verdict": "approve", "digest": "d1d1d1d1"'
NO_RULINGS = (
    b"", b"[]", b"{", b"null", b'{"verdict": "allow", "digest": "d1d1d1d1"}', b'{"verdict": "approve"}', b'{"digest": NaN}', b"\xff\xfe",
    b"{" + SAID + b', "more": 1}', b"[" * 100_000, b"{" + SAID + b', "reason": "\\u0000"}', b"{" + SAID + b', "arguments": {"n": 1e400}}',
)  # fmt: skip


@pytest.mark.parametrize("body", NO_RULINGS)
async def test_what_is_no_ruling_is_refused_in_one_sentence_and_changes_nothing(
    console: Console, machine: httpx2.AsyncClient, body: bytes
) -> None:
    await console.asked()
    answer = await machine.post("/api/v1/requests/apr-1/ruling", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and set(answer.json()) == {"error"} and answer.json()["error"]
    assert (await console.read()).state == "pending"


async def test_the_description_holds_for_whatever_is_asked(console: Console) -> None:
    token = await console.token("ada")
    await console.asked()
    await asyncio.to_thread(_asked, console.url, token)


def _asked(url: str, token: str) -> None:
    """Ask each operation what its description allows, and what it does not."""
    config = SchemathesisConfig.from_dict({"generation": {"max-examples": 12, "no-shrink": True, "database": "none"}, "seed": 1})
    description = httpx2.get(f"{url}/api/v1/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(description, config=config)
    schema.config.update(base_url=url)
    operations = [result.ok() for result in schema.get_all_operations()]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    asked = sum(_each(operation, mode, token) for operation in operations for mode in modes)
    assert len(operations) == len(OPERATIONS) and asked >= 5 * len(operations)


def _each(operation: Any, mode: Any, token: str) -> int:
    """Ask one operation, and return how often."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable

    asked = 0

    @settings(max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=list(CHECKS), timeout=30)

    try:
        ask()
    except Unsatisfiable:
        # An operation without input has nothing that could be wrong.
        assert mode is schemathesis.GenerationMode.NEGATIVE
    return asked
