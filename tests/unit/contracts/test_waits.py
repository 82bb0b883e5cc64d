"""How long the other side asks us to wait, in both of the header's forms, and never longer than anybody may ask."""

from datetime import UTC, datetime

import pytest

from contracts.waits import clipped, date, retry_after

NONE = [("soon", None), ("5", None), ([5], None), ({"seconds": 5}, None), (True, None), (10**400, 3600.0), (float("inf"), 3600.0)]
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("Mon, 04 May 2026 12:00:30 GMT", 30.0),
        ("Monday, 04-May-26 12:00:30 GMT", 30.0),
        ("Mon, 04 May 2026 11:00:00 GMT", 0.0),
        ("-5", 0.0),
        ("86400", 3600.0),
        ("inf", 3600.0),
        ("Tue, 04 May 2027 12:00:00 GMT", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_wait_is_read_in_both_forms_and_clipped(said: str | None, seconds: float | None) -> None:
    assert retry_after(said, NOW) == seconds


def test_a_date_is_reckoned_from_the_senders_own_clock() -> None:
    slow = date("Mon, 04 May 2026 11:00:00 GMT")
    assert retry_after("Mon, 04 May 2026 11:00:05 GMT", slow) == 5.0
    assert date("yesterday") is None and date(None) is None


@pytest.mark.parametrize(("asked", "given"), [(None, None), (float("nan"), None), (-1.0, 0.0), (2.5, 2.5), (1e12, 3600.0), *NONE])
def test_what_a_tool_asks_for_is_clipped_and_what_is_no_number_asks_nothing(asked: object, given: float | None) -> None:
    assert clipped(asked) == given
