"""Two times, against a model in Python: what was believed at any moment to hold at any other."""

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.errors import BadInput
from database import Database
from memory import episodes, facts, keywords
from memory.episodes import NewEpisode
from memory.facts import Fact
from memory.filters import Filter
from memory.revisions import supersede
from memory.storing import NewFact
from memory.writes import WriteKey

YEARS = [datetime(year, 1, 1, tzinfo=UTC) for year in range(2000, 2012)]
KEY = WriteKey("lineage", "s1")
PRICE = NewFact("The price is five", id="price", subject="price")


async def write(database: Database, fact: NewFact, key: WriteKey = KEY) -> str:
    async with database.transaction("default") as tx:
        (id,) = (await facts.write(tx, key, [fact])).ids
    return id


async def replaced(database: Database, id: str, fact: NewFact, step: str = "s2") -> Fact:
    async with database.transaction("default") as tx:
        (stored,) = (await supersede(tx, WriteKey("lineage", step), id, fact)).stored
        found = await facts.read(tx, stored.id or "")
    assert found is not None
    return found


async def bodies(database: Database, believed: datetime | None = None, valid: datetime | None = None) -> list[str]:
    async with database.transaction("default") as tx:
        return [fact.body for fact in await facts.as_of(tx, believed=believed, valid=valid)]


async def test_a_correction_takes_the_place_of_what_was_never_true_and_the_past_belief_stays_readable(database: Database) -> None:
    id = await write(database, PRICE)
    new = await replaced(database, id, NewFact("The price is six", subject="price"))
    assert await bodies(database) == ["The price is six"]
    assert await bodies(database, believed=new.recorded_at - timedelta(microseconds=1)) == ["The price is five"]
    async with database.transaction("default") as tx:
        assert [fact.body for fact in await facts.history(tx, new.id)] == ["The price is five", "The price is six"]
        old = await facts.read(tx, id)
        assert old and (old.superseded_at, old.superseded_by, new.revises) == (new.recorded_at, new.id, id)


async def test_a_change_leaves_the_old_fact_true_until_it_and_a_late_fact_leaves_both_sides(database: Database) -> None:
    id = await write(database, PRICE)
    await replaced(database, id, NewFact("The price was four", subject="price", valid_from=YEARS[3], valid_to=YEARS[6]))
    for year, body in ((2, "five"), (3, "four"), (5, "four"), (6, "five")):
        assert [said.split()[-1] for said in await bodies(database, valid=YEARS[year])] == [body]
    async with database.transaction("default") as tx:
        current = await keywords.search(tx, "price", Filter(), limit=10)
        assert len(current) == 1


async def test_what_is_left_of_a_fact_keeps_its_sources(database: Database) -> None:
    async with database.transaction("default") as tx:
        (source,) = [id for id in await episodes.append(tx, KEY, [NewEpisode("five, he said", "s")]) if id]
        (id,) = (await facts.write(tx, KEY, [replace(PRICE, sources=(source,))])).ids
    await replaced(database, id, NewFact("The price is six", valid_from=YEARS[5]))
    async with database.transaction("default") as tx:
        (rest,) = await facts.as_of(tx, valid=YEARS[4])
        assert rest.revises == id
        assert [episode.id for episode in await episodes.of_fact(tx, rest.id)] == [source]


async def test_a_text_may_come_back(database: Database) -> None:
    ids = [await write(database, replace(PRICE, id=None))]
    for nth, word in enumerate(("six", "five", "six", "five")):
        new = await replaced(database, ids[-1], NewFact(f"The price is {word}", subject="price"), step=f"s{nth + 2}")
        ids.append(new.id)
    assert len(set(ids)) == 5
    assert await bodies(database) == ["The price is five"]


async def test_a_repeated_replacement_changes_nothing_and_gets_the_first_answer(database: Database) -> None:
    id = await write(database, PRICE)
    new = NewFact("The price is six", valid_from=YEARS[5])
    first = await replaced(database, id, new)
    again = await replaced(database, id, new)
    assert first == again
    async with database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM fact WHERE tenant = 'default'") == 3


async def test_of_two_who_replace_a_fact_at_once_the_second_is_told_by_what_it_was_replaced(database: Database) -> None:
    id = await write(database, PRICE)
    given = [replaced(database, id, NewFact(f"The price is {word}"), step=word) for word in ("six", "seven", "eight")]
    results = await asyncio.gather(*given, return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, BadInput)]
    assert len(refused) == 2
    assert all("'price' has been replaced already" in message for message in refused)
    assert len(await bodies(database)) == 1


@pytest.mark.parametrize(
    ("id", "fact", "why"),
    [
        ("nobody", NewFact("x"), "there is no fact 'nobody' to replace"),
        ("price", NewFact("x", valid_to=YEARS[0]), "never holds while 'price' does"),
        ("price", NewFact("x", valid_from=YEARS[9]), "never holds while 'price' does"),
        ("price", NewFact(""), "is empty"),
    ],
)
async def test_a_replacement_without_sense_is_refused_and_changes_nothing(database: Database, id: str, fact: NewFact, why: str) -> None:
    await write(database, replace(PRICE, valid_from=YEARS[1], valid_to=YEARS[9]))
    with pytest.raises(BadInput, match=why):
        await replaced(database, id, fact)
    assert await bodies(database, valid=YEARS[5]) == ["The price is five"]


POINTS = range(-1, 12)
SPANS = st.tuples(st.integers(-1, 11), st.integers(0, 12)).filter(lambda span: span[0] < span[1])
CHANGES = st.lists(st.tuples(st.sampled_from(["write", "replace", "replace"]), st.integers(-1, 11), st.integers(0, 9), SPANS), max_size=8)


@dataclass
class Model:
    """Beliefs as a plain table: which bodies hold at each point in time, now and at each moment at which that changed."""

    now: dict[int, set[str]] = field(default_factory=lambda: {point: set() for point in POINTS})
    past: list[tuple[datetime, dict[int, set[str]]]] = field(default_factory=list)

    def holds(self, body: str, span: range) -> None:
        for point in span:
            self.now[point].add(body)

    def ends(self, body: str, span: range) -> None:
        for point in span:
            self.now[point].discard(body)

    def around(self, body: str, point: int) -> range:
        """Return the points around one at which a body holds without a break."""
        first, last = point, point
        while body in self.now.get(first - 1, ()):
            first -= 1
        while body in self.now.get(last + 1, ()):
            last += 1
        return range(first, last + 1)

    def remember(self, moment: datetime) -> None:
        self.past.append((moment, {point: set(bodies) for point, bodies in self.now.items()}))


def middle(point: int) -> datetime:
    return datetime(2000 + point, 7, 1, tzinfo=UTC)


def lasting(body: str, scope: str, span: tuple[int, int]) -> NewFact:
    """Return a fact that holds from one point to before another; from the first point is always, to the last for ever."""
    begin, end = (None if edge in (-1, 12) else datetime(2000 + edge, 1, 1, tzinfo=UTC) for edge in span)
    return NewFact(body, scope=scope, valid_from=begin, valid_to=end)


# One example each for the shapes that go wrong first: a middle taken out, both ends open, a late fact, the same time again.
@example(changes=[("write", 0, 0, (-1, 12)), ("replace", 5, 0, (3, 7)), ("replace", 1, 0, (-1, 2)), ("replace", 4, 0, (3, 7))])
@example(changes=[("write", 0, 0, (2, 9)), ("write", 0, 0, (4, 12)), ("replace", 5, 1, (-1, 12)), ("replace", 3, 0, (5, 6))])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES)
async def test_any_sequence_of_facts_and_replacements_reads_as_the_model_does_at_every_pair_of_times(
    database: Database, changes: list[tuple[str, int, int, tuple[int, int]]]
) -> None:
    scope, model = uuid.uuid4().hex, Model()
    for nth, (what, point, choice, span) in enumerate(changes):
        new, key = lasting(f"version {nth}", scope, span), WriteKey(scope, f"step {nth}")
        held = sorted(model.now[point])
        async with database.transaction("default") as tx:
            if what == "write" or not held:
                (stored,) = (await facts.write(tx, key, [new])).stored
            else:
                body = held[choice % len(held)]
                (old,) = [fact for fact in await facts.as_of(tx, scope=scope, valid=middle(point)) if fact.body == body]
                around = model.around(body, point)
                if not set(around) & set(range(*span)):
                    continue
                (stored,) = (await supersede(tx, key, old.id, new)).stored
                model.ends(body, range(max(around.start, span[0]), min(around.stop, span[1])))
            row = await facts.read(tx, stored.id or "")
        assert row is not None
        model.holds(new.body, range(*span))
        model.remember(row.recorded_at)
    await agrees(database, scope, model)


async def agrees(database: Database, scope: str, model: Model) -> None:
    moments = [moment for moment, _ in model.past]
    assert all(earlier < later for earlier, later in pairwise(moments))
    async with database.transaction("default") as tx:
        for moment, state in [*model.past, (None, model.now)]:
            for point in POINTS:
                found = await facts.as_of(tx, scope=scope, believed=moment, valid=middle(point))
                assert sorted(fact.body for fact in found) == sorted(state[point]), (moment, point)
