"""How often one address may try to log in, at however many consoles."""

from channels.console.limits import Limit
from database import Database
from ledger import logins
from tests.integration.channels.console.conftest import Console, Served


async def tries(database: Database, address: str, count: int = 1) -> list[int]:
    async with database.transaction("default") as tx:
        return [await logins.wait(tx, address, tries=3, per_minute=6) for _ in range(count)]


async def test_an_address_may_try_so_often_and_then_waits_while_others_do_not(database: Database) -> None:
    *heard, waits = await tries(database, "a", 4)
    # Between two statements time passes, and the bucket fills up with it.
    assert heard == [0, 0, 0] and waits <= 10
    assert await tries(database, "b") == [0]
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE console_try SET at = at - interval '1 day' WHERE tenant = 'default' AND address = 'a'")
    assert await tries(database, "a", 3) == [0, 0, 0]
    async with database.transaction("default") as tx:
        await tx.execute("UPDATE console_try SET at = at - interval '1 day' WHERE tenant = 'default'")
    await tries(database, "c")
    async with database.transaction("default") as tx:
        kept = await tx.fetch("SELECT address FROM console_try WHERE tenant = 'default'")
    assert [row["address"] for row in kept] == ["c"], "who was silent for an hour is forgotten"


async def test_another_console_counts_on_where_the_first_was(console: Console) -> None:
    async with console.visitor(None) as nobody:
        for _ in range(console.house.login_limit.tries):
            await nobody.client.get("/login/link?key=guessed")
        # Time passes too, and a slow machine may have given a try back.
        console.house.login_limit = Limit(tries=10, per_minute=0.001)
        async with console.database.transaction("default") as tx:
            await tx.execute("UPDATE console_try SET remaining = 0, at = clock_timestamp() WHERE tenant = 'default'")
        answer = await nobody.client.get(await console.link())
        assert answer.status_code == 429 and "the next one is heard in" in answer.text and answer.headers["retry-after"] == "60"


async def test_guesses_of_tokens_count_for_all_consoles_together(served: Served) -> None:
    async with served() as first, served() as second, first.visitor(None) as here, second.visitor(None) as there:
        token = {"authorization": f"Bearer {await first.token('ada')}"}
        guess = {"authorization": "Bearer perdure.default.guessed"}
        for made in (first, second):
            # Time passes too, and a slow machine may give a try back.
            made.house.token_limit = Limit(tries=5, per_minute=0.001)
        assert [(await here.client.get("/api/v1/me", headers=guess)).status_code for _ in range(6)] == [401] * 5 + [429]
        assert (await there.client.get("/api/v1/me", headers=token)).status_code == 200, "who has one is not counted"
        assert (await there.client.get("/api/v1/me", headers=guess)).status_code == 429
        assert (await there.client.get("/api/v1/me", headers=token)).status_code == 429, "from there nobody is heard any more"
        assert (await there.client.get("/login/link?key=guessed")).status_code == 403, "log-in is counted by itself"


async def test_a_flood_of_guesses_is_counted_to_the_last(console: Console) -> None:
    async with console.visitor(None) as machine:
        for nth in range(130):
            assert (await machine.client.get("/api/v1/me", headers={"authorization": f"Bearer perdure.other.{nth}"})).status_code in (
                401,
                429,
            )
        for tenant in ("default", "other", "x" * 60):
            await machine.client.get(f"/login/link?key=guessed&tenant={tenant}")
    async with console.database.transaction("default") as tx:
        count = await tx.value("SELECT sum(count) FROM refusal WHERE tenant = 'default'")
        more = await tx.value(
            "SELECT sum((body ->> 'count')::int) FROM record WHERE tenant = 'default' AND body ->> 'event' = 'refused more'"
        )
        told = await tx.value("SELECT count(*) FROM record WHERE tenant = 'default' AND body ->> 'event' = 'refused'")
        rest = await tx.value("SELECT coalesce(sum(count - told), 0) FROM refusal WHERE tenant = 'default'")
    assert count and told + rest + (more or 0) == 133
    async with console.database.transaction("other") as tx:
        assert await tx.value("SELECT count(*) FROM record WHERE tenant = 'other'") == 0, "a tenant that anybody names is nobody's"
