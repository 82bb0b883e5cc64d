"""What an HTTP answer means."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from contracts.errors import PerdureError, ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.fetch import Answer
from tools.replies import decoded, retry_after, settled

SECRETS = {"SHOP_TOKEN": "s3cret-t0ken"}


def answer(status: int, body: Any = b"", *, done: bool = False, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(status, httpx2.Headers(given), data, "http://shop.example/", done)


def meant(given: Answer, *, acts: bool) -> PerdureError:
    with pytest.raises(PerdureError) as caught:
        settled(given, "shop", acts=acts, secrets=SECRETS, credential="SHOP_TOKEN")
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_yes_is_yes(status: int) -> None:
    assert settled(answer(status), "shop", acts=True, secrets={}).status == status


@pytest.mark.parametrize(
    ("status", "wait", "reading", "acting"),
    [
        (400, "", ToolRetry, ToolRetry),
        (422, "", ToolRetry, ToolRetry),
        (401, "", ToolFailed, ToolFailed),
        (403, "", ToolFailed, ToolFailed),
        (404, "", ToolFailed, ToolFailed),
        (410, "", ToolFailed, ToolFailed),
        (418, "", ToolFailed, ToolFailed),
        (304, "", ToolFailed, ToolFailed),
        (409, "", TransientError, TransientError),
        (425, "", TransientError, TransientError),
        (429, "", TransientError, TransientError),
        (429, "3", TransientError, TransientError),
        (503, "3", TransientError, TransientError),
        (503, "", TransientError, ToolUnknown),
        (500, "", TransientError, ToolUnknown),
        (500, "3", TransientError, ToolUnknown),
        (502, "", TransientError, ToolUnknown),
        (504, "", TransientError, ToolUnknown),
        (408, "", TransientError, ToolUnknown),
    ],
)
def test_each_status_says_what_happens_next(status: int, wait: str, reading: type[Exception], acting: type[Exception]) -> None:
    given = answer(status, **({"retry_after": wait} if wait else {}))
    assert type(meant(given, acts=False)) is reading and type(meant(given, acts=True)) is acting


def test_what_was_done_before_a_redirect_is_not_undone_by_what_comes_after() -> None:
    assert isinstance(meant(answer(404, done=True), acts=True), ToolUnknown)
    assert isinstance(meant(answer(404, done=True), acts=False), ToolFailed)


def test_a_refused_caller_hears_the_name_of_the_secret_and_not_its_value() -> None:
    said = str(meant(answer(401, {"error": "the token s3cret-t0ken is unknown"}), acts=True))
    assert said == 'shop said 401: {"error": "the token [SHOP_TOKEN] is unknown"}: look at the secret SHOP_TOKEN'


@pytest.mark.parametrize("before", range(230, 310, 7))
def test_half_of_a_secret_is_not_left_where_a_message_is_cut(before: int) -> None:
    said = str(meant(answer(400, b"x" * before + b"s3cret-t0ken", content_type="text/plain"), acts=False))
    assert "s3c" not in said and len(said) < 350


def test_a_secret_is_found_however_json_writes_it() -> None:
    body = b'{"error": "\\u0073\\u0033cret\\u002dt0ken"}'
    assert "[SHOP_TOKEN]" in str(meant(answer(400, body), acts=False))


def test_what_a_server_says_is_one_line_without_hidden_characters() -> None:
    said = str(meant(answer(422, "amount\r\n must be\u202e more \u200bthan 0".encode(), content_type="text/plain"), acts=False))
    assert said == "shop said 422: amount must be more than 0"


def test_a_page_for_people_is_not_repeated() -> None:
    assert str(meant(answer(500, b"<html>Oops</html>", content_type="text/html"), acts=False)) == "shop said 500"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 3600.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("Wed", None),
    ],
)
def test_how_long_to_wait_is_clipped(value: str, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_a_date_to_wait_for_is_understood() -> None:
    def at(seconds: int) -> float | None:
        return retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True))

    assert 50 < (at(60) or 0) <= 60 and at(-60) == 0.0 and at(100_000) == 3600.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"\xff\xfe", b"9" * 5000])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(answer(200, body))
