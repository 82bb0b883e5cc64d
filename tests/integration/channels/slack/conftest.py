"""A stand in Slack for each test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from database import Database
from tests.slack import Stand, standing


@pytest.fixture
async def stand(database: Database, tmp_path: Path) -> AsyncGenerator[Stand]:
    """Slack over HTTP."""
    async with standing(database, tmp_path) as made:
        yield made
