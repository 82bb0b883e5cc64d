"""Logging in by a link and by OpenID Connect, and every way in which that must not work."""

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from channels.console.login import inside
from ledger import directory
from ledger.directory import Person
from tests.integration.channels.console.conftest import Console, Served
from tests.integration.channels.console.issuer import CLIENT, SECRET, Issuer, issuing


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with issuing() as made:
        yield made


@pytest.fixture
async def vouched(served: Served, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Console]:
    """A console that believes the issuer, and knows its subject s-1 as Ann."""
    monkeypatch.setenv("PERDURE_SECRET_OIDC_SECRET", SECRET)
    async with served(oidc_issuer=issuer.url, oidc_client=CLIENT) as made:
        async with made.database.transaction("default") as tx:
            await directory.put(tx, Person("ann", "Ann", "approver", issuer=issuer.url, subject="s-1"), "tester")
        yield made


async def logged_in(console: Console, *, drop_cookie: bool = False) -> Any:
    """Go through the issuer's log-in as a browser does, and return the console's answer."""
    async with console.visitor(None) as visitor:
        there = await visitor.client.get("/login/oidc?next=/runs")
        assert there.status_code == 303, there.text
        back = await visitor.client.get(there.headers["location"])
        if drop_cookie:
            visitor.client.cookies.clear()
        answer = await visitor.client.get(back.headers["location"])
        if answer.status_code == 303:
            assert (await visitor.client.get("/inbox")).status_code == 200
        return answer


async def test_a_link_logs_in_once(console: Console) -> None:
    link = await console.link("ann")
    async with console.visitor(None) as first, console.visitor(None) as second:
        assert (await first.client.get(link)).headers["location"] == "/"
        assert "Ann" in (await first.client.get("/inbox")).text
        again = await second.client.get(link)
        assert again.status_code == 403 and "used already" in again.text
    [refusal] = await console.refusals()
    assert "used already" in refusal["why"]


async def test_a_link_works_on_the_one_machine_stack_only(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_CONSOLE_KEY", "k" * 40)
    async with served(one_machine=False) as console, console.visitor(None) as nobody:
        assert (await nobody.client.get(await console.link())).status_code == 403


async def test_who_guesses_links_is_soon_not_heard(console: Console) -> None:
    async with console.visitor(None) as nobody:
        said = [(await nobody.client.get(f"/login/link?key=guess-{nth}")).status_code for nth in range(12)]
        assert said[:10] == [403] * 10 and said[-1] == 429
        assert (await nobody.client.get(await console.link())).status_code == 429
    assert len(await console.refusals()) >= 10


async def test_whom_the_issuer_vouches_for_is_logged_in_and_goes_where_they_wanted(vouched: Console) -> None:
    answer = await logged_in(vouched)
    assert answer.status_code == 303 and answer.headers["location"] == "/runs"


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://another.example"}, {"exp": int(time.time()) - 1000}, {"azp": "another"},
     {"aud": [CLIENT, "another"], "azp": "another"}],
)  # fmt: skip
async def test_a_word_that_is_not_about_this_log_in_proves_nothing(vouched: Console, issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.claims = claims
    answer = await logged_in(vouched)
    assert answer.status_code == 403 and len(await vouched.refusals()) == 1


async def test_a_word_signed_by_another_or_with_the_public_key_proves_nothing(vouched: Console, issuer: Issuer) -> None:
    issuer.forging = True
    assert (await logged_in(vouched)).status_code == 403
    issuer.forging, issuer.signing = False, type(issuer.key).generate_key(2048, {"kid": "k1"})
    assert (await logged_in(vouched)).status_code == 403


async def test_a_stranger_and_a_disabled_person_are_not_let_in(vouched: Console, issuer: Issuer) -> None:
    issuer.subject = "s-2"
    assert "nobody with the subject" in (await logged_in(vouched)).text
    issuer.subject = "s-1"
    async with vouched.database.transaction("default") as tx:
        await directory.put(tx, Person("ann", "Ann", "approver", issuer=issuer.url, subject="s-1", disabled=True), "tester")
    assert (await logged_in(vouched)).status_code == 403


async def test_an_answer_that_another_browser_began_is_not_taken(vouched: Console) -> None:
    answer = await logged_in(vouched, drop_cookie=True)
    assert answer.status_code == 403 and "not begun in this browser" in answer.text


async def test_an_issuer_that_is_down_is_said_and_nothing_breaks(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_OIDC_SECRET", SECRET)
    async with served(oidc_issuer="http://127.0.0.1:9", oidc_client=CLIENT) as console, console.visitor(None) as nobody:
        answer = await nobody.client.get("/login/oidc")
        assert answer.status_code == 503 and "cannot be asked" in answer.text


@pytest.mark.parametrize(
    "path",
    ["https://elsewhere.example", "//elsewhere.example", "//[", "/\\elsewhere.example", "javascript:alert(1)", "runs", "/a\nb", "", None],
)
def test_nobody_is_sent_elsewhere_after_the_log_in(path: str | None) -> None:
    assert inside(path) == "/"


def test_a_path_of_ours_is_kept() -> None:
    assert inside("/runs/x?q=1") == "/runs/x?q=1"
