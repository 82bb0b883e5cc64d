"""Houses for tests that need the whole of Perdure."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from database import Database
from tests.house import House, opened


@pytest.fixture
async def house(database: Database, temporal_address: str, tmp_path: Path) -> AsyncGenerator[House]:
    """A house with the automation `probe` and one worker."""
    async with opened(database, temporal_address, tmp_path) as made, made.worker():
        yield made
