from datetime import UTC, datetime, timedelta

import pytest

from channels.slots import when
from contracts.errors import BadInput

NOW = datetime(2030, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2030-02-01T10:30", datetime(2030, 2, 1, 10, 30, tzinfo=UTC)),
        ("2030-02-01T10:30+02:00", datetime(2030, 2, 1, 8, 30, tzinfo=UTC)),
        ("+90s", NOW + timedelta(seconds=90)),
        ("+2h", NOW + timedelta(hours=2)),
        (" +1d ", NOW + timedelta(days=1)),
    ],
)
def test_a_time_is_absolute_or_from_now(text: str, at: datetime) -> None:
    assert when(text, NOW) == at


@pytest.mark.parametrize("text", ["tomorrow", "", "+2", "-1h", "+2w", "2030-13-01", "0001-01-01T00:00+14:00"])
def test_what_is_no_time_is_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(BadInput, match=r"is not a time; right is 2030-01-31T09:00"):
        when(text, NOW)
