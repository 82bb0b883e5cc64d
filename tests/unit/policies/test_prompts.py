"""Prompts: strict about names, and a sandbox."""

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import BadConfiguration, BadInput
from policies.prompts import check_template, render, render_arguments


def test_a_prompt_is_filled_in() -> None:
    assert render("{% for note in notes %}\n- {{ note.id }}\n{% endfor %}", {"notes": [{"id": 1}, {"id": 2}]}) == "- 1\n- 2\n"


def test_a_value_is_never_a_template() -> None:
    assert render("{{ x }}", {"x": "{{ 7 * 7 }} <b>"}) == "{{ 7 * 7 }} <b>"


@pytest.mark.parametrize(
    ("text", "named"), [("{{ nobody }}", "nobody"), ("{{ x.none }}", "none"), ("{% if nobody %}{% endif %}", "nobody")]
)
def test_an_unknown_name_is_an_error(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        render(text, {"x": {}})


@pytest.mark.parametrize(
    "text",
    [
        "{{ x.__class__ }}",
        "{{ x.__class__.__mro__[1].__subclasses__() }}",
        "{{ x['__class__'] }}",
        "{{ x | attr('__class__') }}",
        "{{ ''.format.__globals__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ '{0.__class__}'.format_map({'0': x}) }}",
        "{{ render.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ x.append(1) }}",
        "{% for i in range(999999999) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(text: str) -> None:
    given: list[Any] = []
    with pytest.raises(BadInput, match="cannot be rendered"):
        render(text, {"x": given, "render": render})
    assert given == []


@pytest.mark.parametrize("text", ["{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ x[0] }}", "{% include 'other' %}", "{{ 'x'.encode('none') }}"])
def test_whatever_goes_wrong_in_a_template_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="the template cannot be rendered"):
        render(text, {"x": []})


@pytest.mark.parametrize("text", ["ok\n{{ x ", "ok\n{% if x %}", "ok\n{{ x | nofilter }}", "ok\n{% nothing %}"])
def test_a_template_that_cannot_be_compiled_is_found_by_line(text: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^plan\.md:2: "):
        check_template(text, Path("plan.md"))


def test_only_the_strings_of_arguments_are_rendered() -> None:
    values = {"input": {"folder": "notes"}}
    assert render_arguments({"folder": "{{ input.folder }}/a", "n": 3, "all": ["{{ x }}"]}, values) == {
        "folder": "notes/a",
        "n": 3,
        "all": ["{{ x }}"],
    }
