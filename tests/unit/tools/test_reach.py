"""Which URLs and hosts may be called."""

import httpx2
import pytest

from tools.reach import Reach, Refused, parsed


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "data:text/plain,hello",
        "//example.com/",
        "/path",
        "",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "https://:@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nX-Evil: 1",
        "http://exa\tmple.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "javascript:alert(1)",
        "http://[::1",
    ],
)
def test_what_is_no_plain_url_of_http_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parsed(text)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(Refused) as caught:
        parsed("http://ann:hunter2@example.com/")
    assert "hunter2" not in str(caught.value) and "example.com" in str(caught.value)


def test_where_a_location_leads_is_checked_like_any_url() -> None:
    base = httpx2.URL("http://example.com/a/b")
    assert str(parsed("../c?d=1#e", base)) == "http://example.com/c?d=1"
    assert str(parsed("//other.example/x", base)) == "http://other.example/x"
    for text in ("file:///etc/passwd", "//ann@other.example/", "gopher:x"):
        with pytest.raises(Refused):
            parsed(text, base)


@pytest.mark.parametrize(
    ("entry", "url", "called"),
    [
        ("example.com", "https://example.com/", True),
        ("example.com", "https://EXAMPLE.com.:8443/", True),
        ("example.com:443", "https://example.com/", True),
        ("example.com:443", "http://example.com/", False),
        ("example.com", "https://www.example.com/", False),
        ("example.com", "https://example.com.evil.net/", False),
        ("*.example.com", "https://www.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://evilexample.com/", False),
        ("*.example.com:443", "http://www.example.com/", False),
        ("[::1]:80", "http://[::1]/", True),
        ("::1", "http://[::1]:8080/", True),
        ("127.0.0.1", "http://2130706433/", False),
    ],
)
def test_only_hosts_that_are_named_may_be_called(entry: str, url: str, called: bool) -> None:
    assert Reach(only=frozenset({entry})).called(httpx2.URL(url)) is called


def test_a_pattern_opens_no_private_network() -> None:
    reach = Reach(private=frozenset({"*.example.com", "shop.internal:8080"}))
    assert reach.called(httpx2.URL("http://anything.org/"))
    assert not reach.at_home(httpx2.URL("http://www.example.com/"))
    assert reach.at_home(httpx2.URL("http://shop.internal:8080/")) and not reach.at_home(httpx2.URL("http://shop.internal:6379/"))
