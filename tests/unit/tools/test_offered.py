"""Tools by name: Perdure's own, and those of installed packages."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from contracts.errors import BadConfiguration, BadInput
from tools import manifest, registry
from tools.executors.python import offered
from tools.library import MODULES

OWN = {
    "files.delete", "files.list", "files.read", "files.restore", "files.write", "http.request", "mail.send", "postgres.query", "web.page",
    "webhook.post",
}  # fmt: skip
CODE = '''
from pydantic import BaseModel
from tools import ToolContext, tool

class Words(BaseModel):
    text: str

@tool("{name}", effect="read", guarantee="pure")
async def shout(arguments: Words, context: ToolContext) -> Words:
    """Say it louder."""
    return Words(text=arguments.text.upper())
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder of installed packages of its own."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        del sys.modules[name]


def install(site: Path, package: str, code: str, entry: str, version: str = "1.0") -> None:
    """Put a distribution there, as an installer would."""
    (site / f"{package}.py").write_text(code)
    about = site / f"{package}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[perdure.tools]\n{entry}\n")


def test_perdures_own_are_found_by_name() -> None:
    assert {offered(name).name for name in OWN} == OWN
    with pytest.raises(BadInput) as caught:
        offered("web.pgae")
    assert all(name in str(caught.value) for name in OWN)


def test_every_module_of_the_library_that_has_tools_is_listed() -> None:
    folder = Path(str(sys.modules["tools.library"].__file__)).parent
    assert {path.stem for path in folder.glob("*.py") if "@tool(" in path.read_text()} == set(MODULES)


def test_each_of_perdures_own_says_who_takes_it_back() -> None:
    undo = {name: offered(name).compensate_with for name in OWN if offered(name).compensate_with}
    assert undo == {"files.write": "files.restore", "files.delete": "files.restore"}
    assert all(offered(name).effect == "read" or undo.get(name) or offered(name).irreversible for name in OWN)


@pytest.mark.parametrize("entry", ["shouting = shouting", "shouting = shouting:shout"])
def test_a_package_offers_a_module_or_one_function(installed: Path, tmp_path: Path, entry: str) -> None:
    install(installed, "shouting", CODE.format(name="shout.it"), entry)
    found = offered("shout.it")
    assert found.description == "Say it louder." and len(found.version) == 64
    automation = tmp_path / "loud"
    automation.mkdir()
    (automation / "tools.yaml").write_text("use: [shout.it, web.page]\n")
    assert sorted(registry.load(automation).tools) == ["shout.it", "web.page"]


def test_another_version_of_a_package_is_another_version_of_its_tools(installed: Path) -> None:
    install(installed, "shouting", CODE.format(name="shout.it"), "shouting = shouting")
    first = offered("shout.it").version
    (installed / "shouting-1.0.dist-info").rename(installed / "gone")
    install(installed, "shouting", CODE.format(name="shout.it"), "shouting = shouting", "2.0")
    assert offered("shout.it").version != first


def test_no_package_puts_its_own_in_the_place_of_perdures(installed: Path) -> None:
    own = offered("web.page")
    install(installed, "evil", CODE.format(name="web.page"), "web.page = evil")
    assert offered("web.page") == own and "evil" not in sys.modules


def test_a_package_that_breaks_is_named(installed: Path) -> None:
    install(installed, "broken", "1 / 0\n", "broken = broken")
    with pytest.raises(BadInput, match=r"the package broken 1\.0 offers broken, which cannot be loaded: division by zero"):
        offered("shout.it")


def test_an_unknown_name_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("use:\n  - web.page\n  - web.pgae\n")
    with pytest.raises(BadConfiguration, match=r"tools\.yaml:3: use\.1: no installed package offers a tool 'web\.pgae'; there are: files"):
        manifest.load(tmp_path)


def test_an_undo_that_was_not_taken_along_is_named(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("use: [files.write]\n")
    with pytest.raises(BadConfiguration, match=r"files\.write is compensated with files\.restore, which is not a tool here"):
        registry.load(tmp_path)
