"""The Temporal dev server: its command, and a start that fails."""

import sys
from pathlib import Path

import psutil
import pytest

from contracts.errors import StackError
from devstack import temporal_server
from tests import servers


def program(folder: Path, code: str) -> Path:
    file = folder / "temporal"
    file.write_text(f"#!{sys.executable}\n{code}\n")
    file.chmod(0o755)
    return file


def test_a_tuned_command_lacks_nothing_and_a_stock_one_everything(tmp_path: Path) -> None:
    assert temporal_server.untuned(temporal_server.command(Path("temporal"), tmp_path, 7233)) == []
    assert temporal_server.untuned(temporal_server.command(Path("temporal"), tmp_path, 7233, tuned=False)) == list(temporal_server.TUNED)


def test_without_a_port_for_it_there_is_no_web_page(tmp_path: Path) -> None:
    assert "--headless" in temporal_server.command(Path("temporal"), tmp_path, 7233)
    assert "--headless" not in temporal_server.command(Path("temporal"), tmp_path, 7233, 8233)


async def test_a_server_that_ends_at_once_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="unknown flag: --sqlite-pragma"):
        await temporal_server.serve(program(tmp_path, "raise SystemExit('unknown flag: --sqlite-pragma')"), tmp_path, servers.free_port())


async def test_a_server_that_hangs_is_reported_and_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal_server, "START_SECONDS", 0.5)
    with pytest.raises(StackError, match=r"did not answer within 0.5 s"):
        await temporal_server.serve(program(tmp_path, "import time; time.sleep(60)"), tmp_path, servers.free_port())
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if str(tmp_path / "temporal") in line] == []
