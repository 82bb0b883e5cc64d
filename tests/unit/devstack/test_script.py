"""Which entry of a script answers a request."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from devstack import script
from devstack.script import NO_SUCH_TOOL, Entry, Script, ToolCall


def asking(text: str) -> script.Request:
    return {"messages": [{"role": "user", "content": text}]}


def answers(scripted: Script, *messages: str) -> list[object]:
    return [entry.answer if (entry := scripted(asking(message))) else None for message in messages]


def test_entries_without_a_match_answer_in_order_and_the_last_repeats() -> None:
    assert answers(Script([Entry(answer="1"), Entry(answer="2")]), "a", "b", "c") == ["1", "2", "2"]


def test_an_entry_in_order_answers_as_often_as_it_says() -> None:
    assert answers(Script([Entry(answer="1", times=2), Entry(answer="2")]), "a", "b", "c") == ["1", "1", "2"]


def test_a_match_goes_before_the_order_and_uses_up_none_of_it() -> None:
    scripted = Script([Entry(answer="1"), Entry(match="refund", answer="R"), Entry(answer="2")])
    assert answers(scripted, "a", "a refund please", "b") == ["1", "R", "2"]


def test_a_match_that_is_used_up_lets_the_next_one_answer() -> None:
    scripted = Script([Entry(match="x", answer="1", times=1), Entry(match="x", answer="2")])
    assert answers(scripted, "x", "x", "x") == ["1", "2", "2"]


def test_a_request_that_nothing_fits_has_no_answer() -> None:
    assert answers(Script([Entry(match="x", answer="1")]), "y") == [None]


def test_a_match_looks_at_the_last_user_message_only() -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    assert Script([Entry(match="x")])({"messages": messages}) is None


def test_a_message_in_parts_is_read_as_one_text() -> None:
    parts = [{"type": "text", "text": "re"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "fund"}]
    assert script.last_user_message({"messages": [{"role": "user", "content": parts}]}) == "refund"


def test_an_answer_that_is_not_a_text_is_written_as_json() -> None:
    assert Entry(answer={"title": "Über"}).text == '{"title": "Über"}'


def test_a_malformed_answer_is_cut_in_the_middle() -> None:
    assert Entry(answer={"a": 1}, fault="malformed").text == '{"a"'


def test_a_wrong_tool_is_named_wherever_the_answer_names_one() -> None:
    plan = {"steps": [{"id": "a", "tool": "publish", "arguments": {}}]}
    assert Entry(answer=plan, fault="wrong_tool").text == Entry(answer={"steps": [{"id": "a", "tool": NO_SUCH_TOOL, "arguments": {}}]}).text
    assert Entry(tool_calls=(ToolCall(name="publish"),), fault="wrong_tool").calls[0].name == NO_SUCH_TOOL


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('[{"match": "x", "answer": {"a": 1}}]')
    assert script.read(tmp_path / "script.json") == [Entry(match="x", answer={"a": 1})]


def test_a_misspelled_entry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('[{"anwser": "x"}]')
    with pytest.raises(ValidationError, match="anwser"):
        script.read(tmp_path / "script.json")
