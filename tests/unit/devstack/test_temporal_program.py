"""Where the temporal program comes from."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from contracts.errors import StackError
from devstack import temporal_program
from devstack.progress import silent


def program(folder: Path, name: str = "temporal", code: str = "exit 0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{code}\n")
    (folder / name).chmod(0o755)
    return folder / name


async def test_the_one_on_the_path_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path, _ = program(tmp_path / "path"), program(tmp_path / "cache" / "temporal")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert await temporal_program.find(tmp_path / "cache", silent) == on_path


async def test_then_the_one_in_our_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = program(tmp_path / "cache" / "temporal")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await temporal_program.find(tmp_path / "cache", silent) == cached


async def test_a_finished_download_is_kept_and_nothing_else(tmp_path: Path) -> None:
    async def download(folder: Path) -> None:
        (folder / "temporal-sdk-python-1.2.3").write_text("program")

    target = tmp_path / "bin" / "temporal"
    assert await temporal_program.downloaded(target, download) == target
    assert target.read_text() == "program"
    assert list(target.parent.iterdir()) == [target]


async def test_a_download_that_brings_nothing_is_given_up(tmp_path: Path) -> None:
    async def download(folder: Path) -> None:
        (folder / "temporal-sdk-python-1.2.3.downloading").write_text("begun")
        await asyncio.sleep(60)

    begun = time.monotonic()
    assert await temporal_program.downloaded(tmp_path / "bin" / "temporal", download, silence=0.3) is None
    assert time.monotonic() - begun < 5
    assert list((tmp_path / "bin").iterdir()) == []


async def test_a_slow_download_may_take_its_time(tmp_path: Path) -> None:
    async def download(folder: Path) -> None:
        file = folder / "temporal-sdk-python-1.2.3"
        for _ in range(12):
            with file.open("a") as growing:
                growing.write("x" * 100)
            await asyncio.sleep(0.1)

    assert await temporal_program.downloaded(tmp_path / "bin" / "temporal", download, silence=0.5)


async def test_a_refused_download_is_no_program(tmp_path: Path) -> None:
    async def download(folder: Path) -> None:
        raise RuntimeError("404")

    assert await temporal_program.downloaded(tmp_path / "bin" / "temporal", download) is None


async def test_whoever_is_interrupted_leaves_no_download_behind(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def download(folder: Path) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await temporal_program.downloaded(tmp_path / "bin" / "temporal", download)
    assert ended.is_set()
    assert list((tmp_path / "bin").iterdir()) == []


async def test_a_build_that_fails_says_why_and_what_else_helps(tmp_path: Path) -> None:
    go = program(tmp_path, "go", "echo 'no network' >&2; exit 1")
    with pytest.raises(StackError, match=r"failed \(no network\): put `temporal` on PATH or set TEMPORAL_ADDRESS"):
        await temporal_program.built(str(go), tmp_path / "bin", silent)


async def test_a_build_lands_in_the_cache(tmp_path: Path) -> None:
    go = program(tmp_path, "go", f'{shutil.which("touch")} "$GOBIN/temporal"')
    (tmp_path / "bin").mkdir()
    said: list[str] = []
    found = await temporal_program.built(str(go), tmp_path / "bin", lambda part, doing: said.append(doing))
    assert found == tmp_path / "bin" / "temporal"
    assert found.exists()
    assert "building" in said[0]
