"""Every message there is: frozen, plain, and the same again at every replay."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import contracts
from contracts.approvals import Gate, Ruling
from contracts.converter import DATA_CONVERTER
from contracts.decisions import Decision
from contracts.errors import PerdureError
from contracts.message import EXACT, Message, Strict, unkept
from contracts.plans import MAX_STEPS, Plan, PlanStep, StepRef
from contracts.runs import RunRef, StartRequest

MODULES = [importlib.import_module(f"contracts.{found.name}") for found in pkgutil.iter_modules(contracts.__path__)]


def classes(root: type) -> list[Any]:
    found = {item for module in MODULES for item in vars(module).values() if inspect.isclass(item) and issubclass(item, root)}
    return sorted(found, key=lambda item: item.__qualname__)


MODELS: list[type[BaseModel]] = [model for model in classes(BaseModel) if model is not BaseModel]
RUN = {"tenant": "default", "lineage": "l", "bundle": "b"}


def test_the_walk_finds_the_messages() -> None:
    assert {Gate, Ruling, Decision, Plan, StepRef, StartRequest} <= set(MODELS) and len(MODELS) > 20


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_frozen_and_says_what_becomes_of_unknown_fields(model: type[BaseModel]) -> None:
    assert issubclass(model, Message | Strict)
    assert model.model_config.get("frozen") and model.model_config.get("extra") == ("forbid" if issubclass(model, Strict) else "ignore")


@pytest.mark.parametrize("model", MODELS)
def test_no_default_makes_a_value_anew(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if field.default_factory] == []


@pytest.mark.parametrize("model", MODELS)
def test_a_message_says_what_it_is(model: type[BaseModel]) -> None:
    assert model.__doc__


def test_a_default_is_never_shared() -> None:
    PlanStep(id="a", tool="t").arguments["x"] = 1
    assert PlanStep(id="b", tool="t").arguments == {}


def test_an_older_worker_reads_a_newer_message() -> None:
    assert RunRef.model_validate({**RUN, "added_later": 1}) == RunRef(tenant="default", lineage="l", bundle="b")


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunRef.model_validate(RUN).tenant = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("model", "given", "named"),
    [
        (Ruling, {"request": "apr-1", "verdict": "aprove", "by": "ann"}, "verdict"),
        (Ruling, {"request": "apr-1", "verdict": "approve", "by": "ann", "reson": "x"}, "reson"),
        (Ruling, {"request": "", "verdict": "approve", "by": "ann"}, "request"),
        (Ruling, {"request": "apr-1", "verdict": "approve", "by": "ann", "reason": "x" * 2001}, "reason"),
        (StartRequest, {"automation": "content-ops", "inputs": {}}, "inputs"),
        (StartRequest, {"automation": "content-ops", "tenant": "Acme Corp"}, "tenant"),
        (PlanStep, {"id": "A step", "tool": "t"}, "id"),
        (Plan, {"steps": [{"id": f"s{n}", "tool": "t"} for n in range(MAX_STEPS + 1)]}, "steps"),
    ],
)
def test_a_mistake_in_what_people_write_is_named(model: type[BaseModel], given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    assert caught.value.errors()[0]["loc"] == (named,)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": ["ok", "x\0y"]}, ("a", 1)),
        ({"a": {"b\0": 1}}, ("a", "b\0")),
        ({"a": "\ud83d"}, ("a",)),
        ({"a": EXACT}, ("a",)),
        ({"a": -1e300}, ("a",)),
        ({"a": float("nan")}, ("a",)),
        ({"a": float("inf")}, ("a",)),
        ({"a": b"x"}, ("a",)),
    ],
)
def test_what_json_or_postgres_cannot_keep_is_refused_with_its_place(value: dict[str, Any], where: tuple[str | int, ...]) -> None:
    found = unkept(value)
    assert found is not None and found[0] == where
    with pytest.raises(ValidationError, match=r"cannot be kept|can be kept|numbers must be between"):
        PlanStep.model_validate({"id": "a", "tool": "t", "arguments": value})


@pytest.mark.parametrize("value", [None, True, EXACT - 1, -0.5, "\U0001f600 ü\n", {"a": [{}, [], None]}])
def test_what_can_be_kept_passes(value: Any) -> None:
    assert unkept(value) is None


@pytest.mark.parametrize(
    "step",
    [
        {"id": "s1.publish", "tool": "newsletter.send", "needs": ["s1.draft", "s1.slot"]},
        {"id": "w12-s10.publish", "tool": "blog.publish", "needs": ["w12-s10.draft", "w12-s10.slot"]},
        {"id": "w12-s10.brief", "tool": "brief.write", "needs": ["w12-s9.publish"], "quick": True},
        {"id": "s1.brief", "tool": "brief.write"},
    ],
)
def test_the_skeleton_of_a_step_takes_at_most_a_hundred_bytes(step: dict[str, Any]) -> None:
    payload = DATA_CONVERTER.payload_converter.to_payload(StepRef.model_validate(step))
    assert len(payload.data) <= 100


@pytest.mark.parametrize("error", classes(PerdureError))
def test_an_error_without_a_message_says_its_docstring(error: type[PerdureError]) -> None:
    assert str(error()) == str(error.__doc__) and str(error("said")) == "said"
