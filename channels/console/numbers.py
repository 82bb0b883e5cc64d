"""How the house is doing: decisions, costs, failures, and how long people take. As drawings, and as data."""

from collections.abc import Sequence
from datetime import timedelta

from starlette.responses import Response

from channels.console.answers.knowledge import Days, Group, Numbers, Tile
from channels.console.charts import Chart, chart
from channels.console.templates import length
from channels.console.visit import Visit
from channels.explain import dollars
from database import Tx
from ledger import figures
from ledger import numbers as people
from ledger.figures import Day, Pace, ToolPace
from ledger.numbers import By, Reviewer, Times

Row = tuple[str, float, str]
BY: tuple[By, ...] = ("channel", "role", "automation", "person")


async def page(visit: Visit) -> Response:
    """Show the numbers of some days."""
    days = Days.model_validate(dict(visit.request.query_params)).days
    async with visit.house.database.transaction(visit.tenant) as tx:
        pace, by_day, by_tool = await figures.decisions(tx, days), await figures.by_day(tx, days), await figures.by_tool(tx, days)
        times = await _of_people(tx, days)
        doubtful = await people.doubtful(tx) if visit.may("operator") else []
    count, completed, failed = (sum(getattr(day, name) for day in by_day) for name in ("runs", "completed", "failed"))
    each = sum(day.spent_completed for day in by_day) // completed if completed else 0
    return visit.page(
        "numbers.html", days=days, pace=pace, each=each, count=count, completed=completed, failed=failed,
        charts=[*_charts(by_day, by_tool), *_times(times)], watched=[_doubt(one) for one in doubtful], title="Numbers",
    )  # fmt: skip


async def alerts(visit: Visit) -> Response:
    """Show the banner alone, as pages ask for it that stay open."""
    visit.alerts = await visit.house.banner.of(visit.house.database, visit.tenant, visit.person)
    return visit.page("banner.html")


def _charts(by_day: Sequence[Day], by_tool: Sequence[ToolPace]) -> list[Chart]:
    runs: list[Row] = [(f"{day.day:%a %d %b}", day.runs, f"{_many(day.runs, 'run')}, {day.failed} failed") for day in by_day[-31:]]
    costs: list[Row] = [(f"{day.day:%a %d %b}", day.spent, dollars(day.spent)) for day in by_day[-31:]]
    pace: list[Row] = [(tool.tool, tool.p95, f"{tool.p50:.2f} s, p95 {tool.p95:.2f} s") for tool in by_tool]
    faults: list[Row] = [(tool.tool, tool.failed, f"{tool.failed} of {tool.count}, {tool.again} tried again") for tool in by_tool]
    return [
        chart("Runs by day", runs),
        chart("Cost by day", costs),
        chart("How long calls take", pace),
        chart("Calls that failed", faults, "bad"),
    ]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


async def _of_people(tx: Tx, days: int) -> dict[By, list[Times]]:
    return {by: await people.times(tx, by, timedelta(days=days)) for by in BY}


def _times(times: dict[By, list[Times]]) -> list[Chart]:
    charts = [chart(f"Time to a person's word, by {by}", [_waited(one) for one in found]) for by, found in times.items()]
    approvals: list[Row] = [(one.name, one.count, _many(one.count, "ruling")) for one in times["person"]]
    return [*charts, chart("Rulings by person", approvals)]


def _waited(one: Times) -> Row:
    median, most = one.decided or (0.0, 0.0)
    looked = f", first look {length(timedelta(seconds=one.looked[0]))}" if one.looked else ""
    return one.name, median, f"{length(timedelta(seconds=median))}, p95 {length(timedelta(seconds=most))}{looked}"


def _doubt(one: Reviewer) -> str:
    return f"{one.person} {' and '.join(one.why)} ({', '.join(one.automations)})"


async def counted(visit: Visit, days: int) -> Numbers:
    """Return the same as data."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        pace, by_day, by_tool = await figures.decisions(tx, days), await figures.by_day(tx, days), await figures.by_tool(tx, days)
        times = await _of_people(tx, days)
    waited = [Group(title=f"time to a person's word, median, by {by}", rows=_medians(found)) for by, found in times.items()]
    return Numbers(days=days, groups=[_decisions(pace), *_runs(by_day), *_tools(by_tool), *waited])


def _medians(found: Sequence[Times]) -> list[Tile]:
    return [Tile(name=one.name, value=one.decided[0], unit="seconds") for one in found if one.decided]


def _decisions(pace: Pace) -> Group:
    rows = [Tile(name=name, value=getattr(pace, name), unit="seconds") for name in ("p50", "p95", "p99")]
    return Group(title="decisions", rows=[Tile(name="count", value=pace.count, unit=""), *rows])


def _runs(by_day: Sequence[Day]) -> list[Group]:
    counts = [Tile(name=day.day.isoformat(), value=day.runs, unit="") for day in by_day]
    failed = [Tile(name=day.day.isoformat(), value=day.failed, unit="") for day in by_day]
    spent = [Tile(name=day.day.isoformat(), value=day.spent, unit="micros") for day in by_day]
    return [Group(title="runs by day", rows=counts), Group(title="failed runs by day", rows=failed), Group(title="cost by day", rows=spent)]


def _tools(by_tool: Sequence[ToolPace]) -> list[Group]:
    taken = [Tile(name=tool.tool, value=tool.p95, unit="seconds") for tool in by_tool]
    failed = [Tile(name=tool.tool, value=tool.failed, unit="") for tool in by_tool]
    again = [Tile(name=tool.tool, value=tool.again, unit="") for tool in by_tool]
    return [
        Group(title="calls, p95", rows=taken),
        Group(title="calls that failed", rows=failed),
        Group(title="calls tried again", rows=again),
    ]
