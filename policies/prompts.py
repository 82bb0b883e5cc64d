"""Prompts and argument templates: Jinja2 in its sandbox, where an unknown name is an error and not an empty string."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contracts.errors import BadConfiguration, BadInput

ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)


def check_template(text: str, path: Path) -> None:
    """Raise BadConfiguration naming file and line where a template cannot be compiled."""
    if problem := template_problem(text):
        line, message = problem
        raise BadConfiguration(f"{path}:{line}: {message}")


def template_problem(text: str) -> tuple[int, str] | None:
    """Return the line of a template that is wrong and why, or None."""
    try:
        ENVIRONMENT.compile(text)
    except TemplateSyntaxError as error:
        return error.lineno, error.message or "it is not a template"
    return None


def render(text: str, values: Mapping[str, Any]) -> str:
    """Render a template. Raises: BadInput naming the value that is missing."""
    try:
        return _template(text).render(values)
    except Exception as error:
        # A template's expressions can raise whatever Python can: `{{ 1 / 0 }}` is no TemplateError.
        raise BadInput(f"the template cannot be rendered: {error or type(error).__name__}") from None


def render_arguments(arguments: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Render every string of a look-up's arguments; other values stay as they are."""
    return {name: render(value, values) if isinstance(value, str) else value for name, value in arguments.items()}


@lru_cache(maxsize=256)
def _template(text: str) -> Template:
    return ENVIRONMENT.from_string(text)
