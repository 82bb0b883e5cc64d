"""The parts of a campaign: kills at every boundary, lost answers, killed servers, random plans, and mutations that must be caught."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.chaos import boundaries, plans
from tests.chaos.boundaries import Journey
from tests.chaos.checks import Outcome
from tests.chaos.report import Part, Report
from tests.chaos.shapes import UNDONE, WIDE, Shape
from tests.chaos.stage import Stage
from tests.chaos.workers import Hand

VISITS = 3
"""Later executions of one activity for one step are not aimed at: how many there are is a matter of time."""
PATIENCE = 12.0
"""Seconds in which some run has to come by one of the boundaries aimed at."""
AIMED = 20
"""Boundaries that are aimed at together: the worker dies at the first that a run passes, and the rest are aimed at again."""
MISSES = 3
"""Times that nobody came by a boundary before it counts as unreached: many wait for 30 s when they were killed at the same place."""
PAUSE = 0.7
"""Seconds between a take-over and the next order to die, in which runs get on."""
MUTATIONS = {"no-claim": WIDE, "random-key": UNDONE, "blind-lookup": WIDE}


@dataclass
class Campaign:
    """One campaign on one stage. until: when to stop aiming at boundaries, in seconds of `time.monotonic`."""

    stage: Stage
    report: Report
    seed: int
    until: float
    crowd: int = 20
    like: dict[str, Outcome] = field(default_factory=dict[str, Outcome])

    @asynccontextmanager
    async def part(self, name: str) -> AsyncGenerator[Part]:
        """Open a part: orders are taken back when it ends, what was run is checked, and it is reported."""
        part, started = Part(name), time.monotonic()
        yield part
        await self.finish(part)
        self.report.add(part, started)

    async def finish(self, part: Part) -> None:
        """Let the runs of a part end, and look at them."""
        self.stage.workers.orders.write()
        await self.stage.crowd.drained()
        part.runs += len(self.stage.crowd.ended)
        said = self.stage.person.confirmed
        part.confirmed += sum(flight.lineage in said for flight in self.stage.crowd.ended)
        part.violations += await self.stage.checked(self.like)

    async def every_boundary(self, shape: Shape, kills: int | None = None) -> None:
        """Kill the worker at every boundary of a shape in turn, while a crowd of its runs is in flight."""
        outcome, passed, wrong = await self.stage.undisturbed(shape, 3)
        self.like[shape.name] = outcome
        async with self.part(shape.name) as part:
            part.violations += wrong
            wanted = [at for at in passed if boundaries.visit(at) <= VISITS or at.startswith("workflow")]
            random.Random(self.seed).shuffle(wanted)
            wanted, missed = wanted[:kills], Counter[str]()
            async with self.stage.crowded([shape], self.crowd):
                while wanted and time.monotonic() < self.until:
                    hand = await self._killed(shape, wanted[:AIMED])
                    if hand is None or (at := hand.journey.died_at()) not in wanted:
                        # None of these came by: others have their turn first, and what never comes is left in the end.
                        missed.update(wanted[:AIMED])
                        wanted = wanted[AIMED:] + [at for at in wanted[:AIMED] if missed[at] < MISSES]
                        continue
                    part.note(self._stood(hand.journey), at)
                    wanted.remove(at)
                    await asyncio.sleep(PAUSE)
            part.unreached += [*wanted, *(at for at, count in missed.items() if count >= MISSES)]

    async def _killed(self, shape: Shape, any: Sequence[str]) -> Hand | None:
        # For this one only: its spare may run before the order is taken back.
        self.stage.workers.orders.write(target={"pid": self.stage.workers.working.pid, "shape": shape.name, "any": any})
        hand = await self.stage.workers.died(PATIENCE)
        self.stage.workers.orders.write()
        return hand or await self.stage.workers.died(0.2)

    def _stood(self, journey: Journey) -> dict[str, str]:
        """Return where each run that was in flight stood in a worker that was killed."""
        stood = {run: at for run, at in journey.stood().items() if run in self.stage.crowd.open}
        self.stage.crowd.disturb(stood)
        return stood

    async def lost_answers(self, shapes: Sequence[Shape], faults: int) -> None:
        """Let tools act and lose their answers, in every way there is, until there were so many faults."""
        async with self.part("lost answers") as part:
            orders = {"faults": {"seed": self.seed, "share": 0.5}}
            self.stage.workers.orders.write(**orders)
            seen: list[Journey] = []
            async with self.stage.crowded(shapes, self.crowd, every=0.6):
                while sum(len(_faults(journey)) for journey in {*seen, self.stage.workers.working.journey}) < faults:
                    if hand := await self.stage.workers.died(1.0):
                        part.note(self._stood(hand.journey), None)
                        seen.append(hand.journey)
                    if time.monotonic() > self.until:
                        break
            # Those left in flight may still be killed by an answer that they lose: there is always somebody to go on.
            self.stage.workers.orders.write()
            if hand := await self.stage.workers.died(1.0):
                part.note(self._stood(hand.journey), None)
                seen.append(hand.journey)
            for journey in {*seen, self.stage.workers.working.journey}:
                part.faults.update(_faults(journey))

    async def servers(self, shapes: Sequence[Shape], kills: int) -> None:
        """Kill Temporal, Postgres, what the tools call, and the worker at random moments, with a proxy that meddles with replies."""
        drawn = random.Random(self.seed)
        async with self.part("servers") as part:
            for proxy in self.stage.servers.proxies.values():
                proxy.counts.clear()
                proxy.share = 0.3
            async with self.stage.crowded(shapes, self.crowd, every=0.5):
                for nth in range(kills):
                    await asyncio.sleep(drawn.uniform(0.5, 4.0))
                    victim = [*self.stage.servers.kills, "worker"][nth % 4]
                    part.faults[f"killed {victim}"] += 1
                    if victim == "worker":
                        self.stage.workers.kill()
                        hand = await self.stage.workers.died(10)
                        assert hand is not None
                        part.note(self._stood(hand.journey), None)
                    else:
                        part.note(self._stood(self.stage.workers.working.journey), None)
                        await self.stage.servers.kills[victim]()
                        self.stage.crowd.disturb()
                    if time.monotonic() > self.until:
                        break
            for proxy in self.stage.servers.proxies.values():
                proxy.share = 0.0
                part.faults.update({f"reply {trouble}": count for trouble, count in proxy.counts.items()})

    async def random_plans(self, count: int, kills: int) -> None:
        """Run random plans undisturbed, then all of them again while workers are killed at random moments."""
        drawn, found = random.Random(self.seed), plans.drawn(count, self.seed)
        async with self.part("random plans") as part:
            self.stage.author.shapes.update({shape.name: shape for shape in found})
            for nth in range(0, count, 4):
                some = found[nth : nth + 4]
                flights = [await self.stage.crowd.start(shape) for shape in some]
                await self.stage.crowd.drained()
                self.like.update({flight.shape.name: await self.stage.outcome(flight) for flight in flights})
            async with self.stage.crowded(found, self.crowd):
                for _ in range(kills):
                    await asyncio.sleep(drawn.uniform(1.0, 3.0))
                    self.stage.workers.kill()
                    hand = await self.stage.workers.died(10)
                    assert hand is not None
                    part.note(self._stood(hand.journey), None)
                    part.faults["killed worker"] += 1
                    if time.monotonic() > self.until:
                        break

    async def mutation(self, name: str, runs: int = 2) -> None:
        """Break Perdure in one way, and see whether the kit notices."""
        async with self.part(f"mutation {name}") as part:
            faults = {"seed": self.seed, "share": 1.0, "kinds": ["unknown"]}
            self.stage.workers.orders.write(mutation=name, faults=faults)
            for _ in range(runs):
                await self.stage.crowd.start(MUTATIONS[name])
            await self.stage.crowd.drained()
            await self.finish(part)
            part.proved = part.count("duplicate")


def _faults(journey: Journey) -> list[str]:
    """Return the kinds of the faults that a worker made."""
    return [f"answer {line['said'].split()[1]}" for line in journey.lines() if line.get("said", "").startswith("fault ")]
