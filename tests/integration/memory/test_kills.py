"""Writers killed in the middle; the long form is `python -m tests.integration.memory.kills --kills 1000`."""

from database import Database
from tests.integration.memory import kills


async def test_killed_writers_lose_nothing_store_nothing_twice_and_keep_their_answers(database: Database, database_url: str) -> None:
    report = kills.short(database_url, kills=25, seed=1)
    assert report.writes > 0
    assert report.fine, report
