"""The watch over recall: compares what is served with exact search, raises the knobs where it must, and shows what it found."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from activities import metrics
from database import Database, Tx
from ledger import outbox
from memory import knobs, models, monitor, probes, samples
from memory.knobs import Knobs
from memory.models import Model
from memory.monitor import Report, Serve, Snapshot

LOG = structlog.get_logger(__name__)
EVERY = 60.0
"""Seconds between two looks at what is due."""


@dataclass(frozen=True, slots=True)
class Review:
    """What one comparison came to. reports: one for each setting that was tried, as it stood first; proven: None where no index answers."""

    reports: list[Report]
    proof: Report | None
    proven: bool | None

    @property
    def settled(self) -> Knobs:
        """The knobs that were tried last."""
        return self.reports[-1].knobs


class RecallWatch:
    """Watches every tenant, in every worker; one of them compares at a time."""

    def __init__(self, database: Database, tenant: str, serve: Serve = monitor.served, *, seconds: float = monitor.SECONDS) -> None:
        """seconds: how long one comparison may go on finding true neighbours."""
        self._database = database
        self._tenant = tenant
        self._serve = serve
        self._seconds = seconds
        self._shown: dict[tuple[str, int], set[tuple[str, ...]]] = {}

    async def run(self) -> None:
        """Watch until cancelled; a fault is logged and the next look tries again."""
        while True:
            try:
                await self.watch()
            except Exception as error:
                LOG.warning("the watch over recall failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(EVERY)

    async def watch(self) -> None:
        """Compare what is due, once."""
        for tenant in await outbox.tenants(self._database, self._tenant):
            async with self._database.transaction(tenant) as tx:
                due = [model for model in await models.of_tenant(tx) if model.state != "retired" and await probes.due(tx, model)]
            for model in due:
                await self.review(tenant, model)

    async def review(self, tenant: str, model: Model) -> Review | None:
        """Compare one tenant's recall now and raise its knobs until the bound holds; None without samples, or while another does it."""
        async with self._database.transaction(tenant, isolation="REPEATABLE READ") as tx:
            asked = await samples.newest(tx, model.id) if await probes.alone(tx, model) else []
            if not asked:
                return None
            seen = await monitor.snapshot(tx, model, asked, seconds=self._seconds)
            found = await self._raised(tx, seen, await knobs.knobs(tx, model.id))
        # What is kept is written in a transaction of its own: the snapshot is as old as the comparison is long.
        async with self._database.transaction(tenant) as tx:
            await self._keep(tx, found)
        self._show(tenant, found)
        return found

    async def _raised(self, tx: Tx, seen: Snapshot, current: Knobs) -> Review:
        """Compare under the knobs that hold, then under each higher rung until every group's lower bound reaches the target."""
        reports = [await monitor.compare(tx, seen, current, self._serve)]
        while reports[-1].low and (higher := reports[-1].knobs.raised()):
            reports.append(await monitor.compare(tx, seen, higher, self._serve, cause=_because(reports[-1])))
        if not reports[0].whole.approximate:
            return Review(reports, None, None)
        return Review(reports, *await monitor.prove(tx, seen, self._serve))

    async def _keep(self, tx: Tx, found: Review) -> None:
        first, model = found.reports[0], found.reports[0].model
        for report in [*found.reports, *([found.proof] if found.proof else [])]:
            await probes.keep(tx, report)
        sampled = samples.SELDOM if first.whole.approximate >= samples.MOST else Knobs().sampled
        if replace(found.settled, sampled=sampled) != first.knobs:
            await knobs.raise_to(tx, model, replace(found.settled, sampled=sampled), found.reports[-1].cause)
        await samples.trim(tx, model)

    def _show(self, tenant: str, found: Review) -> None:
        last, model = found.reports[-1], str(found.reports[-1].model)
        for shown in self._shown.get(key := (tenant, last.model), set()):
            metrics.RECALL.remove(*shown)
            metrics.RECALL_LOW.remove(*shown)
        self._shown[key] = set()
        for group in last.groups:
            if group.estimate.recall is not None:
                self._shown[key].add(labels := (tenant, model, last.size, group.selectivity))
                metrics.RECALL.labels(*labels).set(group.estimate.recall)
                metrics.RECALL_LOW.labels(*labels).set(group.estimate.low)
        refused = sum(report.whole.refused for report in found.reports)
        metrics.RECALL_PROVEN.labels(tenant, model).set(found.proven is not False and not refused)
        if found.proven is False or refused:
            LOG.error("the recall monitor is not to be believed", tenant=tenant, model=model, refused=refused, proven=found.proven)
        if len(found.reports) > 1:
            LOG.warning("recall was too low", tenant=tenant, model=model, because=last.cause, knobs=last.knobs.told())


def _because(report: Report) -> str:
    worst = min(report.low, key=lambda group: group.estimate.low)
    named = {monitor.WHOLE: "all queries", monitor.INDEX: "queries that the index answers", monitor.CODES: "queries that codes answer"}
    filtered = named.get(worst.selectivity, f"queries whose filter leaves {worst.selectivity}")
    guess = worst.estimate
    return f"recall of {filtered} is {guess.recall:.4f}, at least {guess.low:.4f}, under {report.target:.4f} ({guess.queries} asked)"
