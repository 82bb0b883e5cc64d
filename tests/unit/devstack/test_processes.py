"""Processes that outlive who started them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from contracts.errors import StackError
from devstack import processes
from devstack.processes import Process

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncGenerator[Process]:
    made = Process(tmp_path / "part")
    yield made
    made.kill()


async def never() -> bool:
    return False


async def test_a_started_process_is_known_by_its_pid_file(process: Process) -> None:
    pid = process.start(SLEEP)
    assert Process(process.folder).pid == pid
    assert Process(process.folder).runs(SLEEP)
    assert not Process(process.folder).runs([*SLEEP, "--else"])


async def test_a_stopped_process_is_gone_and_so_is_its_pid_file(process: Process) -> None:
    pid = process.start(SLEEP)
    await process.stop()
    assert process.pid is None
    assert not psutil.pid_exists(pid)
    assert not (process.folder / "pid").exists()


async def test_stopping_what_does_not_run_is_no_error(process: Process) -> None:
    await process.stop()


async def test_a_process_that_will_not_end_is_killed_after_the_grace(process: Process) -> None:
    process.start([sys.executable, "-c", STUBBORN])
    while "up" not in process.log.read_text():
        time.sleep(0.02)
    await process.stop(grace=0.2)
    assert process.pid is None


async def test_a_killed_process_is_not_taken_for_running(process: Process) -> None:
    pid = process.start(SLEEP)
    os.kill(pid, signal.SIGKILL)
    while process.pid is not None:
        time.sleep(0.02)
    assert (process.folder / "pid").exists()


async def test_a_pid_that_went_to_another_process_is_not_ours(process: Process) -> None:
    process.folder.mkdir()
    record = {"pid": os.getpid(), "started": psutil.Process().create_time() - 3600, "command": SLEEP}
    (process.folder / "pid").write_text(json.dumps(record))
    assert process.pid is None


async def test_a_clock_that_was_set_does_not_orphan_a_process(process: Process) -> None:
    pid = process.start(SLEEP)
    file = process.folder / "pid"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"started": time.time() - 3600}))
    assert process.pid == pid


async def test_a_torn_pid_file_means_that_nothing_runs(process: Process) -> None:
    process.folder.mkdir()
    (process.folder / "pid").write_text('{"pid": 1')
    assert process.pid is None


async def test_a_process_whose_parent_never_asks_for_its_end_has_ended() -> None:
    code = f"import subprocess, time; child = subprocess.Popen({SLEEP!r}); print(child.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        child.kill()
        assert await processes.ended(child, 5)
        parent.kill()


async def test_a_process_gets_what_is_added_to_the_environment(process: Process) -> None:
    process.start([sys.executable, "-c", "import os; print(os.environ['ADDED'], os.environ['PATH'] != '')"], environment={"ADDED": "yes"})
    while not process.log.read_text():
        time.sleep(0.02)
    assert process.log.read_text().split() == ["yes", "True"]


async def test_the_log_of_the_start_before_is_kept(process: Process) -> None:
    for word in ("first", "second"):
        process.start([sys.executable, "-c", f"print({word!r})"])
        while process.pid is not None:
            time.sleep(0.02)
    assert process.log.read_text() == "second\n"
    assert process.log.with_suffix(".old").read_text() == "first\n"


async def test_a_process_that_ends_at_once_is_reported_with_its_last_words(process: Process) -> None:
    process.start([sys.executable, "-c", "raise SystemExit('no such database')"])
    with pytest.raises(StackError, match=r"part ended as soon as it was started; its log .* ends: no such database"):
        await process.ready(never, seconds=10)


async def test_a_process_that_does_not_answer_in_time_is_reported(process: Process) -> None:
    process.start(SLEEP)
    with pytest.raises(StackError, match=r"part did not answer within 0.1 s; .*\(empty\)"):
        await process.ready(never, seconds=0.1)


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        holder = rf"port {port} is taken by pid {os.getpid()} \(.+\), and the sink needs it: stop that or set PERDURE_SMTP_PORT"
        with pytest.raises(StackError, match=holder):
            processes.require_free(port, wanted_by="the sink", variable="PERDURE_SMTP_PORT")
    processes.require_free(port, wanted_by="the sink", variable="PERDURE_SMTP_PORT")


def test_a_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    for text in ("a long text", "short"):
        processes.write_atomically(file, text)
        assert file.read_text() == text
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
