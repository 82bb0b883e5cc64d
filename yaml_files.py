"""YAML that remembers its lines, so that a mistake is named by file and line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contracts.errors import BadConfiguration

MAX_BYTES = 1_000_000
MAX_PARTS = 100_000
M = TypeVar("M", bound=BaseModel)


class YamlFile:
    """One parsed file: its value, and the line of every part of it."""

    def __init__(self, path: Path) -> None:
        """Raises: BadConfiguration with file, line and what is wrong."""
        self.path = path
        try:
            text = read_text(path)
        except FileNotFoundError:
            raise BadConfiguration(f"{path} is missing") from None
        try:
            self._node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BadConfiguration(f"{path}:{line}: {error.problem or error} {error.context or ''}".rstrip()) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise BadConfiguration(f"{path}:{line}: the character U+{ord(text[error.position]):04X} cannot stand here") from None
        except RecursionError:
            raise BadConfiguration(f"{path}:1: it is nested too deeply") from None
        except (yaml.YAMLError, ValueError) as error:
            raise BadConfiguration(f"{path}:1: {error}") from None
        if not isinstance(self.value, dict):
            raise BadConfiguration(f"{path}:1: a mapping of names to values is expected here")
        self._parts = 0
        self._check(self._node, ())

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

    def _check(self, node: Any, around: tuple[Any, ...]) -> None:
        # YAML's own loader silently keeps the last of two equal keys, and lets aliases make much, or something endless, out of little.
        self._parts += 1
        if node in around or self._parts > MAX_PARTS:
            raise BadConfiguration(f"{self.path}:{node.start_mark.line + 1}: its aliases make more than {MAX_PARTS} values of this file")
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise BadConfiguration(f"{self.path}:{key.start_mark.line + 1}: {key.value!r} stands here twice")
                seen.add(key.value)
                self._check(value, (*around, node))
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._check(value, (*around, node))


def read_text(path: Path) -> str:
    """Return a file's text, every byte of it. Raises: FileNotFoundError; BadConfiguration naming file and line."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BadConfiguration(f"{path} has {len(data)} bytes; {MAX_BYTES} is the most")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(f"{path}:{line}: this is not UTF-8 text") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadConfiguration(f"{path}:{line}: a NUL character cannot stand here")
    return text


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
