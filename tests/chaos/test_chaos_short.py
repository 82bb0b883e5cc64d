"""The chaos kit in short: some of everything that `make chaos` does, and that it catches what it must."""

import io
import time
from collections.abc import AsyncGenerator

import pytest
from rich.console import Console

from tests.chaos import stage
from tests.chaos.campaign import MUTATIONS, Campaign
from tests.chaos.report import Part, Report
from tests.chaos.shapes import PIECES, UNDONE, Shape
from tests.servers import short_folder

SEED = 4


@pytest.fixture(scope="module")
async def campaign(_own_environment: None) -> AsyncGenerator[Campaign]:
    """A campaign on a stage of its own, whose servers may be killed."""
    with short_folder() as folder:
        async with stage.opened(folder, SEED) as opened:
            yield Campaign(opened, Report(SEED, Console(file=io.StringIO())), SEED, time.monotonic() + 600, crowd=10)


def last(campaign: Campaign) -> Part:
    """Return the part that has just ended, in which nothing may have been found."""
    part = campaign.report.parts[-1]
    assert not part.violations, part.violations[:5]
    return part


@pytest.mark.parametrize("shape", [PIECES, UNDONE], ids=lambda shape: shape.name)
async def test_a_worker_killed_at_its_boundaries_leaves_every_run_as_if_nothing_had_been(campaign: Campaign, shape: Shape) -> None:
    await campaign.every_boundary(shape, kills=4)
    part = last(campaign)
    assert part.kills.total() >= 2 and part.pairs.total() > part.kills.total()


async def test_a_tool_whose_answer_is_lost_has_still_acted_once(campaign: Campaign) -> None:
    await campaign.lost_answers([UNDONE], 10)
    assert last(campaign).faults.total() >= 10


async def test_killed_servers_and_meddled_replies_change_nothing(campaign: Campaign) -> None:
    await campaign.servers([UNDONE], 4)
    assert last(campaign).faults.total() >= 4


async def test_random_plans_end_under_kills_as_they_do_without(campaign: Campaign) -> None:
    await campaign.random_plans(3, 1)
    assert last(campaign).faults["killed worker"] == 1


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_the_kit_catches_what_it_must(campaign: Campaign, mutation: str) -> None:
    await campaign.mutation(mutation, runs=1)
    assert campaign.report.parts[-1].proved
