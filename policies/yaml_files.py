"""YAML that remembers its lines, so that a mistake is named by file and line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contracts.errors import BadConfiguration

MAX_BYTES = 1_000_000
M = TypeVar("M", bound=BaseModel)


class YamlFile:
    """One parsed file: its value, and the line of every part of it."""

    def __init__(self, path: Path) -> None:
        """Raises: BadConfiguration with file, line and what is wrong."""
        self.path = path
        try:
            text = path.read_text()
        except FileNotFoundError:
            raise BadConfiguration(f"{path} is missing") from None
        except UnicodeDecodeError as error:
            raise BadConfiguration(f"{path} is not UTF-8 text: byte {error.start}") from None
        if len(text) > MAX_BYTES:
            raise BadConfiguration(f"{path} has {len(text)} characters; {MAX_BYTES} is the most")
        try:
            self._node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BadConfiguration(f"{path}:{line}: {error.problem or error} {error.context or ''}".rstrip()) from None
        except (yaml.YAMLError, ValueError) as error:
            raise BadConfiguration(f"{path}: {error}") from None
        if not isinstance(self.value, dict):
            raise BadConfiguration(f"{path}:1: a mapping of names to values is expected here")
        self._refuse_twice(self._node)

    def line(self, location: Sequence[str | int]) -> int:
        """Return the line of a part, or of the nearest part around it that stands in the file."""
        node, line = self._node, 1
        for part in location:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def read(self, model: type[M], value: Any = None) -> M:
        """Validate the file's value (or one made of it) as ``model``. Raises: BadConfiguration naming every mistake."""
        try:
            return model.model_validate(self.value if value is None else value)
        except ValidationError as error:
            raise BadConfiguration("\n".join(self._say(dict(item)) for item in error.errors(include_url=False))) from None

    def _say(self, item: dict[str, Any]) -> str:
        where = ".".join(str(part) for part in item["loc"]) or "the file"
        message = item["msg"].removeprefix("Value error, ")
        return f"{self.path}:{self.line(item['loc'])}: {where}: {message[0].lower()}{message[1:]}"

    def _refuse_twice(self, node: Any) -> None:
        # YAML's own loader silently keeps the last of two equal keys.
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise BadConfiguration(f"{self.path}:{key.start_mark.line + 1}: {key.value!r} stands here twice")
                seen.add(key.value)
                self._refuse_twice(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._refuse_twice(value)


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
