"""Schedules on a real Temporal: made, changed, at work, and taken away."""

from datetime import timedelta

import pytest

from channels.cli import schedules
from channels.cli.keeping import schedule_id
from contracts import names
from contracts.errors import BadInput
from contracts.upkeep import ExpireRequest
from memory import retention, sessions
from memory.sessions import Turn
from tests import servers
from tests.house import House

DAY = timedelta(days=1)


async def put(house: House, id: str, every: timedelta) -> None:
    request = ExpireRequest(tenant="default")
    await schedules.put(house.client, id, names.EXPIRE_ALL, request, house.settings.task_queue, every)


async def test_a_schedule_takes_away_what_is_over_the_policy(house: House, owner_database_url: str) -> None:
    async with house.database.transaction("default") as tx:
        await sessions.append(tx, "old", 0, [Turn("user", "user", "hello")] * 3)
        await retention.keep(tx, "turns", 30)
    await servers.run(owner_database_url, "UPDATE perdure.turn SET at = at - interval '40 days'")
    async with house.database.transaction("default") as tx:
        await sessions.append(tx, "new", 0, [Turn("user", "user", "hello again")])
    id = f"{schedule_id('default')}-{house.settings.task_queue}"
    await put(house, id, DAY)
    await house.client.get_schedule_handle(id).trigger()

    async def gone() -> bool:
        async with house.database.transaction("default") as tx:
            return await tx.value("SELECT array_agg(session) FROM turn WHERE tenant = $1", tx.tenant) == ["new"]

    await servers.until(gone)
    assert await schedules.remove(house.client, id)


async def test_a_schedule_that_is_made_again_is_changed_and_one_that_is_gone_stays_gone(house: House) -> None:
    id = f"{schedule_id('default')}-{house.settings.task_queue}"
    for every in (DAY, DAY / 2):
        await put(house, id, every)
        described = await house.client.get_schedule_handle(id).describe()
        assert [one.every for one in described.schedule.spec.intervals] == [every]
    assert [await schedules.remove(house.client, id) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("every", ["", "often", "PT1S", "P31D", "-PT5M", "never ever"])
def test_what_is_no_length_of_time_is_one_clear_error(every: str) -> None:
    with pytest.raises(BadInput, match=r"^--every "):
        schedules.interval(every)


def test_lengths_of_time_are_as_people_write_them() -> None:
    assert (schedules.interval("PT24H"), schedules.interval("P1D"), schedules.interval("PT10S")) == (DAY, DAY, timedelta(seconds=10))
