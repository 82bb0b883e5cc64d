"""An automation's own code: one file, or a folder of modules that import each other by `from .name import …`."""

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from contracts.errors import BadInput

INIT = "__init__"


@dataclass(frozen=True, slots=True)
class Code:
    """What was read at one moment. modules: name -> file and text, that of one file under the name ``__init__``."""

    path: Path
    modules: Mapping[str, tuple[Path, bytes]]
    version: str
    """Of one file the SHA-256 of its text; of a folder that of all its files and their names, whatever they are."""


def files(path: Path) -> list[Path]:
    """Return what the code is made of, folders too, whose own time tells that something was added or is gone."""
    if not path.is_dir():
        return [path]
    return [path, *sorted(each for each in path.rglob("*") if not _hidden(each.relative_to(path)))]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def read(path: Path) -> Code:
    """Read a file or a folder. Raises: BadInput, OSError."""
    if not path.is_dir():
        text = path.read_bytes()
        return Code(path, {INIT: (path, text)}, hashlib.sha256(text).hexdigest())
    whole, modules = hashlib.sha256(), dict[str, tuple[Path, bytes]]()
    for each in files(path):
        if each.is_dir():
            continue
        name = each.relative_to(path).as_posix()
        if not each.is_file():
            # A pipe would be waited for, and a device read for ever.
            raise BadInput(f"{name} is no file: right are files and folders, and links to files that are there")
        text = each.read_bytes()
        # With lengths, so that no two folders read the same.
        whole.update(f"{len(name.encode())}/{len(text)}:{name}".encode() + text)
        if each.parent == path and each.suffix == ".py":
            modules[each.stem] = each, text
    if wrong := next((name for name in modules if not name.isidentifier()), None):
        raise BadInput(f"{wrong}.py is no name of a module: right are letters, digits and `_`")
    if not modules:
        raise BadInput("there is no module in it: right is one Python file or more")
    return Code(path, modules, whole.hexdigest())


def run(name: str, code: Code) -> list[ModuleType]:
    """Run all modules under a package's name and return them, the package first; what ran under that name before is forgotten.

    Raises: whatever the code raises; then nothing is left of it.
    """
    _forget(name)
    finder = _Finder(name, code)
    sys.meta_path.insert(0, finder)
    try:
        package = importlib.import_module(name)
        # All at once, so that what is imported later within a function is what the version names too.
        return [package, *(importlib.import_module(f"{name}.{each}") for each in sorted(code.modules) if each != INIT)]
    except BaseException:
        _forget(name)
        raise
    finally:
        sys.meta_path.remove(finder)


def _forget(name: str) -> None:
    for known in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[known]


def declared(modules: Sequence[ModuleType]) -> Iterator[object]:
    """Yield what the modules hold."""
    for module in modules:
        yield from vars(module).values()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of one package in what was read, and nowhere else."""

    def __init__(self, name: str, code: Code) -> None:
        self._name, self._code = name, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == self._name:
            file, text = self._code.modules.get(INIT, (self._code.path / f"{INIT}.py", b""))
            many = self._code.path.is_dir()
        elif fullname.startswith(f"{self._name}.") and (found := self._code.modules.get(fullname.removeprefix(f"{self._name}."))):
            (file, text), many = found, False
        else:
            return None
        spec = importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(file, text), submodule_search_locations=[] if many else None
        )
        if spec and spec.submodule_search_locations:
            # A package without a search path, which the call above adds: what is not in what was read is not found on disk either.
            spec.submodule_search_locations.clear()
        return spec


class _Loader(importlib.abc.Loader):
    """Runs a text. Not by the usual loader, whose cache goes by whole seconds: what runs is what the version names."""

    def __init__(self, file: Path, text: bytes) -> None:
        self._file, self._text = file, text

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._text, self._file, "exec"), module.__dict__)
