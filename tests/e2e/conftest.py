"""One machine for all end-to-end tests."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.machine import Machine, machine
from tests.servers import short_folder


@pytest.fixture(scope="session")
async def shared(temporal_program: Path) -> AsyncGenerator[Machine]:
    """The machine, up for the whole session."""
    with short_folder() as folder:
        async with machine(folder, temporal_program) as made:
            yield made


@pytest.fixture
async def own(shared: Machine) -> AsyncGenerator[Machine]:
    """The machine, for one test; what the test leaves open is ended."""
    yield shared
    await shared.end_all()
