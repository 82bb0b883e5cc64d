"""Who is let in where, and what becomes of those who are not."""

import pytest
from starlette.routing import Mount, Route

from channels.console.app import application
from ledger import directory
from ledger.directory import Person
from tests.integration.channels.console.conftest import Console, Served

OPEN = {"/", "/login", "/login/link", "/login/oidc", "/login/callback", "/healthz", "/api/v1/openapi.json", "/static"}


def paths(console: Console) -> list[tuple[str, str, str]]:
    found = [route for route in application(console.house).routes if isinstance(route, Route) and route.path not in OPEN]
    return [(method, route.path, route.endpoint.role) for route in found for method in (route.methods or ()) if method != "HEAD"]


def filled(path: str) -> str:
    for name in ("request", "run", "name:path", "automation", "entry"):
        path = path.replace(f"{{{name}}}", "some")
    return path


async def test_every_page_but_the_log_in_is_behind_a_door(console: Console) -> None:
    routes = application(console.house).routes
    assert {
        route.path for route in routes if isinstance(route, Route | Mount) and not hasattr(getattr(route, "endpoint", None), "role")
    } == OPEN
    async with console.visitor(None) as nobody:
        for method, path, _ in paths(console):
            answer = await nobody.client.request(method, filled(path))
            expected = 401 if path.startswith("/api/") else 303
            assert answer.status_code == expected, (method, path)
            assert expected == 401 or answer.headers["location"].startswith("/login"), path


@pytest.mark.parametrize("person", ["vera", "ann", "otto", "ada"])
async def test_each_role_is_held_to_on_every_page(console: Console, person: str) -> None:
    who = next(one for one in (await people(console)) if one.id == person)
    token = await console.token(person)
    async with console.visitor(None) as visitor:
        for method, path, role in paths(console):
            if path.endswith("/events"):
                continue
            answer = await visitor.client.request(method, filled(path), headers={"authorization": f"Bearer {token}"})
            assert (answer.status_code == 403) == (not who.at_least(role)), (method, path, answer.status_code, answer.text)  # pyright: ignore[reportArgumentType]
            assert answer.status_code != 500, (method, path)


async def people(console: Console) -> list[Person]:
    async with console.database.transaction("default") as tx:
        return await directory.people(tx)


async def test_a_refused_attempt_is_on_record_with_who_and_what(console: Console) -> None:
    async with console.visitor("vera") as vera:
        await console.asked()
        answer = await vera.send("/requests/apr-1/approve", digest="d1" * 32)
    assert answer.status_code == 403 and "needs the role approver" in answer.text
    [refusal] = await console.refusals()
    assert refusal["by"] == "vera" and refusal["signal"] == "POST /requests/apr-1/approve" and "approver" in refusal["why"]
    assert (await console.read()).state == "pending"


async def test_a_form_from_elsewhere_changes_nothing_and_is_on_record(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        digest = "d1" * 32
        no_word = await ann.client.post("/requests/apr-1/approve", data={"digest": digest})
        wrong_word = await ann.client.post("/requests/apr-1/approve", data={"digest": digest, "csrf": "x" * 27})
        elsewhere = await ann.client.post(
            "/requests/apr-1/approve", data={"digest": digest, "csrf": ann.csrf}, headers={"origin": "https://elsewhere.example"}
        )
    assert [answer.status_code for answer in (no_word, wrong_word, elsewhere)] == [403, 403, 403]
    assert (await console.read()).state == "pending" and len(await console.refusals()) == 3


async def test_a_forged_cookie_lets_nobody_in_and_is_on_record(console: Console) -> None:
    async with console.visitor("ann") as ann:
        cookie = ann.client.cookies["perdure"]
    async with console.visitor(None) as nobody:
        for forged in (f"{cookie[:-4]}AAAA", "x", "a.b.c", cookie.partition(".")[0]):
            answer = await nobody.client.get("/inbox", headers={"cookie": f"perdure={forged}"})
            assert answer.status_code == 303 and answer.headers["location"].startswith("/login")
    assert [refusal["why"] for refusal in await console.refusals()] == ["the session's cookie is forged"] * 4


async def test_a_session_is_over_when_its_person_is_disabled_or_logs_out(console: Console) -> None:
    async with console.visitor("ann") as ann, console.visitor("ada") as ada:
        cookie = ada.client.cookies["perdure"]
        assert (await ada.send("/logout")).status_code == 303
        async with console.database.transaction("default") as tx:
            await directory.put(tx, Person("ann", "Ann", "approver", disabled=True), "ada")
        assert (await ann.client.get("/inbox")).status_code == 303
        assert (await ada.client.get("/inbox", headers={"cookie": f"perdure={cookie}"})).status_code == 303


async def test_who_is_let_in_again_logs_in_anew(console: Console) -> None:
    async with console.visitor("ann") as ann:
        unused = await console.link("ann")
        async with console.database.transaction("default") as tx:
            for disabled in (True, False):
                await directory.put(tx, Person("ann", "Ann", "approver", disabled=disabled), "ada")
        assert (await ann.client.get("/inbox")).status_code == 303
        assert (await ann.client.get(unused)).status_code == 403
        assert (await ann.client.get(await console.link("ann"))).status_code == 303


async def test_a_part_of_a_page_asked_for_by_nobody_leads_to_the_log_in_and_back(console: Console) -> None:
    async with console.visitor(None) as nobody:
        for page, back in (("http://x/runs?q=1", "/login?next=/runs"), ("http://[", "/login?next=/")):
            answer = await nobody.client.get("/inbox", headers={"hx-request": "true", "hx-current-url": page})
            assert (answer.status_code, answer.headers["hx-redirect"]) == (401, back)


async def test_a_form_that_cannot_be_read_is_told_as_such(console: Console) -> None:
    async with console.visitor("ann") as ann:
        for kind, content in (("multipart/form-data", b"x"), ("application/x-www-form-urlencoded", b"a=1&" * 1500)):
            answer = await ann.client.post("/inbox/bulk", content=content, headers={"content-type": kind})
            assert answer.status_code == 400 and "the form cannot be read" in answer.text, kind
        answer = await ann.client.post("/inbox/bulk", files={"csrf": ("a.txt", b"x")})
        assert answer.status_code == 400


async def test_a_group_that_nobody_could_have_has_no_requests(console: Console) -> None:
    await console.asked()
    async with console.visitor("ann") as ann:
        for query in ("group=%00", "group=%00&mine=true"):
            answer = await ann.client.get(f"/api/v1/requests?{query}")
            assert answer.status_code == 200 and answer.json()["requests"] == []
            assert (await ann.client.get(f"/inbox?{query}")).status_code == 200


async def test_a_token_is_held_to_its_scopes_and_its_person(console: Console) -> None:
    reading = await console.token("ada", "read")
    async with console.visitor(None) as machine:

        async def status(method: str, path: str, said: str) -> int:
            return (await machine.client.request(method, path, headers={"authorization": said}, json={})).status_code

        assert await status("GET", "/api/v1/me", f"Bearer {reading}") == 200
        assert await status("POST", "/api/v1/runs/x/pause", f"Bearer {reading}") == 403
        assert await status("GET", "/api/v1/me", f"Bearer {reading[:-1]}x") == 401
        assert await status("GET", "/api/v1/me", f"Basic {reading}") == 401
        assert await status("GET", "/api/v1/me", "Bearer perdure.other.secret") == 401
        assert await status("GET", "/api/v1/me", "Bearer perdure.NO TENANT'; --.secret") == 401


async def test_who_guesses_tokens_is_soon_not_heard(console: Console) -> None:
    token = await console.token("ada")
    async with console.visitor(None) as machine:
        said = [
            (await machine.client.get("/api/v1/me", headers={"authorization": f"Bearer perdure.default.{nth}"})).status_code
            for nth in range(25)
        ]
        assert said[:20] == [401] * 20 and said[-1] == 429
        assert (await machine.client.get("/api/v1/me", headers={"authorization": f"Bearer {token}"})).status_code == 429


async def test_every_answer_forbids_what_is_not_ours(console: Console) -> None:
    async with console.visitor("ann") as ann:
        await console.asked()
        for path in ("/inbox", "/requests/apr-1", "/runs", "/static/console.css", "/nowhere", "/login", "/api/v1/me"):
            answer = await ann.client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, path
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script>" not in answer.text and " style=" not in answer.text and " onclick=" not in answer.text


async def test_it_answers_to_its_own_names_only(console: Console) -> None:
    async with console.visitor(None) as nobody:
        for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost:1:2"):
            assert (await nobody.client.get("/login", headers={"host": host})).status_code == 400, host
        assert (await nobody.client.get("/login", headers={"host": "localhost:9"})).status_code == 200


async def test_behind_https_the_cookie_is_for_https_and_this_host_only(served: Served) -> None:
    async with served(console_url="https://perdure.example") as console, console.visitor(None) as nobody:
        answer = await nobody.client.get(await console.link(), headers={"host": "perdure.example"})
        cookie = answer.headers.get_list("set-cookie")[0]
        assert cookie.startswith("__Host-perdure=") and {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "strict-transport-security" in answer.headers
