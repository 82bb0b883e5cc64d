"""The outbox on a real Postgres: with its transaction, at least once, and not by two at the same time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from contracts.approvals import Wake
from database import Database
from ledger import outbox
from ledger.outbox import Send


async def put(database: Database, *ids: str, tenant: str = "default") -> None:
    async with database.transaction(tenant) as tx:
        for id in ids:
            await outbox.put(tx, id, Wake(request=f"apr-{id}"))


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def sender(sent: list[str]) -> Callable[..., Send]:
    def sender(*, pause: float = 0.0, refused: tuple[str, ...] = ()) -> Send:
        async def send(workflow_id: str, body: dict[str, Any]) -> bool:
            assert body == {"request": f"apr-{workflow_id}"}
            await asyncio.sleep(pause)
            if workflow_id not in refused:
                sent.append(workflow_id)
            return workflow_id not in refused

        return send

    return sender


async def test_a_wake_up_is_sent_once_it_is_committed(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    async with database.transaction("default") as tx:
        await outbox.put(tx, "a", Wake(request="apr-a"))
        assert await outbox.deliver(database, "default", sender()) == 0
    assert await outbox.deliver(database, "default", sender()) == 1 and sent == ["a"]
    assert await outbox.deliver(database, "default", sender()) == 0


async def test_a_wake_up_of_a_transaction_that_failed_is_never_sent(database: Database, sender: Callable[..., Send]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction("default") as tx:
            await outbox.put(tx, "a", Wake(request="apr-a"))
            raise ZeroDivisionError
    assert await outbox.deliver(database, "default", sender()) == 0


async def test_what_could_not_be_sent_stays_and_holds_up_nobody(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    await put(database, "a", "b", "c")
    assert await outbox.deliver(database, "default", sender(refused=("b",))) == 2 and sent == ["a", "c"]
    assert await outbox.deliver(database, "default", sender()) == 1 and sent == ["a", "c", "b"]


async def test_a_sender_that_breaks_loses_nothing(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    await put(database, "a", "b")

    async def broken(workflow_id: str, body: dict[str, Any]) -> bool:
        if workflow_id == "b":
            raise ConnectionError
        sent.append(workflow_id)
        return True

    with pytest.raises(ConnectionError):
        await outbox.deliver(database, "default", broken)
    await outbox.deliver(database, "default", sender())
    assert set(sent) == {"a", "b"}


async def test_two_deliverers_share_what_waits(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    await put(database, *(str(n) for n in range(outbox.BATCH + 30)))
    counts = await asyncio.gather(*(outbox.deliver(database, "default", sender(pause=0.005)) for _ in range(2)))
    assert sum(counts) == len(set(sent)) == len(sent) and max(counts) == outbox.BATCH


async def test_nothing_is_sent_twice_at_the_same_time(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    await put(database, "a", "b")
    assert sorted(await asyncio.gather(*(outbox.deliver(database, "default", sender(pause=0.1)) for _ in range(5)))) == [0, 0, 0, 0, 2]
    assert sent == ["a", "b"]


async def test_a_tenants_wake_ups_are_sent_for_it_only(database: Database, sender: Callable[..., Send], sent: list[str]) -> None:
    await put(database, "a")
    assert await outbox.deliver(database, "other", sender()) == 0 and sent == []


async def test_sweepers_learn_the_names_of_all_tenants(database: Database) -> None:
    async with database.transaction("other") as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ('other')")
    assert await outbox.tenants(database, "default") == ["default", "other"]


async def test_one_that_takes_long_holds_up_no_other_of_its_batch(database: Database, sent: list[str]) -> None:
    await put(database, "slow", "quick")
    others_sent = asyncio.Event()

    async def send(workflow_id: str, body: dict[str, Any]) -> bool:
        if workflow_id == "slow":
            await others_sent.wait()
        sent.append(workflow_id)
        others_sent.set()
        return True

    assert await outbox.deliver(database, "default", send) == 2 and sent == ["quick", "slow"]


async def test_what_was_sent_beside_one_that_broke_is_not_sent_again(database: Database, sent: list[str]) -> None:
    await put(database, "a", "b", "c")

    async def broken(workflow_id: str, body: dict[str, Any]) -> bool:
        if workflow_id == "b":
            raise ConnectionError
        sent.append(workflow_id)
        return True

    with pytest.raises(ConnectionError):
        await outbox.deliver(database, "default", broken)
    assert sent == ["a", "c"]
    with pytest.raises(ConnectionError):
        await outbox.deliver(database, "default", broken)
    assert sent == ["a", "c"]
