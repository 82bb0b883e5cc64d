"""Commands that are asked wrongly say so before they reach for anything."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from channels.cli import automations, reconcile, tools

APP = typer.Typer()
for module in (automations, reconcile, tools):
    module.register(APP)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "PT5M", "--lost"], "--every and --lost exclude each other"),
        (["--every", "PT5M", "--restored"], "--every and --restored exclude each other"),
        (["--every", "never", "--dry-run"], "--every and --dry-run exclude each other"),
        (["--every", "P99999999D"], "--every P99999999D is too seldom: P30D is the most"),
        (["--every", "P31D"], "P30D is the most"),
        (["--every", "PT1S"], "PT10S is the least"),
        (["--every", "x" * 5000], "…' is no length of time"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(words: list[str], said: str) -> None:
    result = CliRunner().invoke(APP, ["reconcile", *words])
    assert result.exit_code == 2 and said in result.stderr and len(result.stderr) < 400


@pytest.mark.parametrize("name", ["../../etc", "../secret", "/etc", ".", "", "shop/../shop", "x" * 5000])
@pytest.mark.parametrize("words", [["tools", "check"], ["tools", "list", "--offline"], ["tools", "pin", "--yes"], ["apply"]])
def test_only_what_lies_among_the_automations_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]) -> None:
    for folder in ("automations/shop", "secret"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "automation.yaml").touch()
    monkeypatch.setenv("PERDURE_AUTOMATIONS", str(tmp_path / "automations"))
    result = CliRunner().invoke(APP, [*words, name])
    assert result.exit_code == 2 and "there is no automation '" in result.stderr and "there are: shop" in result.stderr
    assert len(result.stderr) < 600
