"""A one-machine stack of its own for each test: without the model, which takes long, and without a worker."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from devstack import stack
from settings import Settings
from tests import servers

PORTS = (
    "temporal_port", "temporal_ui_port", "model_port", "smtp_port", "receiver_port", "metrics_port", "console_port", "fake_slack_port",
)  # fmt: skip
PARTS = ("temporal", "postgres", "mail", "social")


def running(state: Path) -> list[str]:
    """Return the command lines of all processes that work in a state folder."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(state) in line]


@pytest.fixture
async def settings(temporal_program: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Callable[[], Settings]]:
    """Reads the settings anew, as each command does."""
    with servers.short_folder() as state:
        monkeypatch.setenv("PERDURE_STATE", str(state))
        # Held until all are chosen, so that no two are the same.
        with ExitStack() as held:
            for name in PORTS:
                listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                monkeypatch.setenv(f"PERDURE_{name.upper()}", str(listener.getsockname()[1]))
        try:
            yield Settings
        finally:
            await stack.down(Settings())
