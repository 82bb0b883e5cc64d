"""The directory on a real Postgres: people, their accounts, delegations and tokens, each change on record."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.errors import BadInput
from database import Database
from ledger import directory
from ledger.directory import Person
from tests.integration.ledger.people import delegate, put
from tests.integration.ledger.rows import in_seconds

SOON = timedelta(hours=1)


async def events(database: Database) -> list[str]:
    async with database.transaction("default") as tx:
        return [row["body"]["event"] for row in await tx.fetch("SELECT body FROM record WHERE kind = 'access' ORDER BY seq")]


async def test_a_person_comes_back_by_id_slack_account_and_login(database: Database) -> None:
    ann = await put(database, "ann", "finance", slack_team="T1", slack_user="U1", issuer="https://id.test", subject="42")
    async with database.transaction("default") as tx:
        assert await directory.person(tx, "ann") == await directory.by_slack(tx, "T1", "U1") == ann
        assert await directory.by_subject(tx, "https://id.test", "42") == ann and await directory.people(tx) == [ann]
        assert await directory.by_slack(tx, "T2", "U1") is None and await directory.by_subject(tx, "https://other.test", "42") is None
    async with database.transaction("other") as tx:
        assert await directory.people(tx) == [] and await directory.by_slack(tx, "T1", "U1") is None


async def test_each_change_of_a_person_is_a_record(database: Database) -> None:
    await put(database, "ann", "finance")
    await put(database, "ann", "finance", "owner", role="admin")
    assert await events(database) == ["person added", "person changed"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Person("Ann Other", "Ann", "approver"), "an id is 1 to 100 of a-z"),
        (Person("ann", "", "approver"), "cannot be kept"),
        (Person("bob", "Bob", "approver", slack_user="U1"), "a Slack user needs its team"),
        (Person("bob", "Bob", "approver", slack_team="T1", slack_user="U1"), "Slack account belongs to somebody else"),
        (Person("bob", "Bob", "approver", issuer="https://id.test", subject="42"), "login belongs to somebody else"),
    ],
)
async def test_a_person_who_cannot_be_is_named_with_what_is_wrong(database: Database, wrong: Person, message: str) -> None:
    await put(database, "joe", slack_team="T1", slack_user="U1", issuer="https://id.test", subject="42")
    with pytest.raises(BadInput, match=message):
        async with database.transaction("default") as tx:
            await directory.put(tx, wrong, "tester")
    assert await events(database) == ["person added"]


async def test_roles_rise_from_viewer_to_admin_and_a_disabled_person_has_none() -> None:
    joe = Person("joe", "Joe", "operator")
    assert joe.at_least("viewer") and joe.at_least("operator") and not joe.at_least("admin")
    assert not Person("joe", "Joe", "admin", disabled=True).at_least("viewer")


async def test_a_delegation_holds_until_it_is_revoked(database: Database) -> None:
    await put(database, "ann", "finance", "owner")
    await put(database, "bob")
    id = await delegate(database, "ann", "bob", "finance")
    async with database.transaction("default") as tx:
        [held] = await directory.delegations(tx, "bob")
        assert (held.giver, held.groups) == ("ann", frozenset({"finance"})) and await directory.delegations(tx, "ann") == []
        assert await directory.revoke(tx, id, "ann") and not await directory.revoke(tx, id, "ann")
        assert await directory.delegations(tx) == []
    assert (await events(database))[-2:] == ["delegated", "delegation revoked"]


async def test_a_group_that_its_giver_has_lost_is_not_delegated_any_more(database: Database) -> None:
    await put(database, "ann", "finance")
    await put(database, "bob")
    await delegate(database, "ann", "bob", "finance")
    await put(database, "ann", "owner")
    async with database.transaction("default") as tx:
        assert [held.groups for held in await directory.delegations(tx, "bob")] == [frozenset()]


@pytest.mark.parametrize(
    ("taker", "groups", "seconds", "message"),
    [
        ("bob", ["owner"], 60, "only groups of their own: finance"),
        ("bob", [], 60, "only groups of their own"),
        ("bob", ["finance"], -1, "ends within 90 days"),
        ("bob", ["finance"], 91 * 86_400, "ends within 90 days"),
        ("ann", ["finance"], 60, "to somebody else"),
        ("eve", ["finance"], 60, "'eve' is nobody who may rule"),
        ("vic", ["finance"], 60, "'vic' is nobody who may rule"),
    ],
)
async def test_a_delegation_that_cannot_be_is_refused(
    database: Database, taker: str, groups: list[str], seconds: float, message: str
) -> None:
    await put(database, "ann", "finance")
    await put(database, "bob")
    await put(database, "vic", role="viewer")
    with pytest.raises(BadInput, match=message):
        async with database.transaction("default") as tx:
            await directory.delegate(tx, "ann", taker, groups, in_seconds(seconds), "ann")


async def test_a_token_speaks_for_its_person_and_only_its_hash_is_kept(database: Database) -> None:
    ann = await put(database, "ann", "finance")
    async with database.transaction("default") as tx:
        plain = await directory.mint(tx, "ann", ["decide", "read"], datetime.now(UTC) + SOON)
        found = await directory.by_token(tx, plain)
        assert found is not None and found.person == ann and found.scopes == {"decide", "read"}
        kept = str(await tx.fetch("SELECT to_jsonb(api_token) FROM api_token")) + str(await tx.fetch("SELECT body FROM record"))
        assert plain.rpartition(".")[2] not in kept and directory.tenant_of(plain) == "default"
        assert await directory.by_token(tx, plain + "x") is None
    async with database.transaction("other") as tx:
        assert await directory.by_token(tx, plain) is None


async def test_a_token_ends_when_it_is_revoked_expires_or_its_person_is_disabled(database: Database) -> None:
    await put(database, "ann", "finance")
    async with database.transaction("default") as tx:
        first, second, third = [await directory.mint(tx, "ann", ["read"], datetime.now(UTC) + SOON) for _ in range(3)]
        ids = [bearer.token for plain in (first, second) if (bearer := await directory.by_token(tx, plain))]
        assert await directory.unmint(tx, ids[0], "ann") and not await directory.unmint(tx, ids[0], "ann")
        await tx.execute("UPDATE api_token SET expires_at = now() WHERE tenant = $1 AND id = $2", tx.tenant, ids[1])
        assert [await directory.by_token(tx, plain) is not None for plain in (first, second, third)] == [False, False, True]
        assert len(await directory.tokens(tx)) == 3
    await put(database, "ann", "finance", disabled=True)
    async with database.transaction("default") as tx:
        assert await directory.by_token(tx, third) is None


@pytest.mark.parametrize(
    ("person", "scopes", "seconds", "message"),
    [("eve", ["read"], 60, "no enabled person 'eve'"), ("ann", [], 60, "one scope"), ("ann", ["read"], -1, "expires within 366 days")],
)
async def test_a_token_that_cannot_be_is_refused(database: Database, person: str, scopes: list[str], seconds: float, message: str) -> None:
    await put(database, "ann")
    with pytest.raises(BadInput, match=message):
        async with database.transaction("default") as tx:
            await directory.mint(tx, person, scopes, in_seconds(seconds))


@pytest.mark.parametrize("plain", ["", "perdure", "perdure.", "perdure.acme", "perdure.acme.", "other.acme.x", "perdure.A B.x"])
def test_what_is_no_token_names_no_tenant(plain: str) -> None:
    assert directory.tenant_of(plain) is None
