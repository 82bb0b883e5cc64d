"""The inbox: what waits for a person, and a person's word on it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from channels.card import text as whole_text
from channels.console import editing
from channels.console.answers.requests import Inbox
from channels.console.risk import RISKS, Risk, risk, sameness, together
from channels.console.visit import NotFound, Visit
from channels.desk import groups_of
from contracts.approvals import RuleResult, Ruling, Verdict
from contracts.errors import BadInput
from database import Tx
from ledger import approvals, feed, reviews
from ledger import inbox as ledger
from ledger.approvals import Request
from ledger.inbox import Counts, Filters

GIST = 3  # arguments
AGES = {"": 0.0, "1h": 3600.0, "8h": 28_800.0, "1d": 86_400.0}
TOGETHER = 100  # requests in one word


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the inbox. alike: how many in this list ask for the same."""

    request: Request
    risk: Risk
    alike: int
    same: str

    @property
    def gist(self) -> list[tuple[str, str]]:
        """What tells it from others at a glance: its first arguments that say something."""
        said = [(name, whole_text(value)) for name, value in self.request.arguments.items() if value not in ("", False, None, [], {})]
        return said[:GIST]


@dataclass(frozen=True, slots=True)
class Testimony:
    """What somebody typed who says that it did happen, or is undone already. problem: what is wrong with the output."""

    output: str
    reason: str
    problem: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the inbox. counts: of all that wait. after: the query of the next page, empty on the last."""

    items: list[Item]
    counts: Counts
    after: str


async def inbox(visit: Visit) -> Response:
    """List what waits, by group, age and risk, oldest first."""
    wanted = Inbox.model_validate(dict(visit.request.query_params))
    listing = await listed(visit, wanted)
    if visit.partial and visit.request.headers.get("hx-target") == "list":
        return visit.page("list.html", listing=listing)
    groups = visit.person.groups | set(listing.counts.groups) | {wanted.group} - {""}
    async with visit.house.database.transaction(visit.tenant) as tx:
        mark = await feed.mark(tx)
    values: dict[str, Any] = {"listing": listing, "groups": sorted(groups), "chosen": wanted, "risks": RISKS, "ages": AGES}
    return visit.page("inbox.html", mark=mark, title="Inbox", **values)


async def listed(visit: Visit, wanted: Inbox) -> Listing:
    """Return a page of the requests that are wanted, how many there are, and where the next page is."""
    filters = filtered(wanted)
    async with visit.house.database.transaction(visit.tenant) as tx:
        mine = await _mine(visit, tx, wanted)
        found, counts = await ledger.listed(tx, filters, mine), await ledger.counts(tx, filters, mine)
    chosen, more = found[: wanted.limit], len(found) > wanted.limit
    alike = Counter(map(sameness, chosen))
    items = [Item(request, risk(request), alike[same], same) for request in chosen for same in [sameness(request)]]
    asked = {name: value for name, value in wanted.model_dump(mode="json", exclude_defaults=True).items() if name != "after"}
    return Listing(items, counts, urlencode({**asked, "after": chosen[-1].id}) if more else "")


async def lines(visit: Visit, wanted: Inbox) -> tuple[list[str], bool, int]:
    """Return the same as lines of JSON, whether there are more, and how many there are."""
    filters = filtered(wanted)
    async with visit.house.database.transaction(visit.tenant) as tx:
        mine = await _mine(visit, tx, wanted)
        found = await ledger.lines(tx, filters, mine)
        # Where all are there they need not be counted again.
        whole = len(found) <= wanted.limit and not wanted.after
        count = len(found) if whole else (await ledger.counts(tx, filters, mine)).wanted
    return found[: wanted.limit], len(found) > wanted.limit, count


async def _mine(visit: Visit, tx: Tx, wanted: Inbox) -> Collection[str]:
    """Return the groups that somebody may rule for, where that is asked. Raises: NotFound where the list would go on from nothing."""
    if wanted.after and await approvals.read(tx, wanted.after) is None:
        raise NotFound(f"there is no request {wanted.after[:80]!r} here that the list could go on from")
    return await groups_of(tx, visit.person) if wanted.mine else ()


def filtered(wanted: Inbox) -> Filters:
    """Return what the ledger is asked for: one more than is wanted, which tells that there are more."""
    return Filters(
        group=wanted.group or None, mine=wanted.mine, older_seconds=AGES[wanted.age], risk=wanted.risk or None, after=wanted.after or None,
        limit=wanted.limit + 1,
    )  # fmt: skip


async def found(visit: Visit, id: str) -> Request:
    """Return a request. Raises: NotFound."""
    async with visit.house.database.transaction(visit.tenant) as tx:
        request = await approvals.read(tx, id)
    if request is None:
        raise NotFound(f"there is no request {id[:80]!r} here")
    return request


async def request(visit: Visit) -> Response:
    """Show the whole card of a request, and note that it was seen."""
    id = visit.part("request")
    shown = await found(visit, id)
    await visit.house.desk.look(visit.tenant, id, visit.person, visit.channel)
    return await answered(visit, shown)


async def answered(
    visit: Visit, shown: Request, result: RuleResult | None = None, *, status: int = 200, given: dict[str, str] | None = None,
    problems: dict[str, str] | None = None, testimony: Testimony | None = None,
) -> Response:  # fmt: skip
    """Answer with the card, and what became of what a person said. given, problems: as they typed other arguments."""
    card = await visit.house.desk.card(visit.tenant, shown.id)
    async with visit.house.database.transaction(visit.tenant) as tx:
        review = await reviews.of(tx, shown.id) if shown.ended else None
    form = editing.fields(shown.schema, shown.arguments, given, problems)
    template = "card.html" if visit.partial else "request.html"
    return visit.page(
        template, status, request=shown, card=card, risk=risk(shown), fields=form, result=result, editing=given is not None,
        problems=problems or {}, testimony=testimony, known=_known(shown), review=review, title=f"{shown.tool} {shown.step}",
    )  # fmt: skip


def _known(shown: Request) -> list[str]:
    """Return what an answer of the tool has, by its names."""
    schema: dict[str, Any] = shown.about.get("result", {})
    names: dict[str, Any] = schema.get("properties", {})
    return [f"{name} (required)" if name in schema.get("required", ()) else name for name in names]


async def argument(visit: Visit) -> Response:
    """Give one argument whole, as plain text."""
    shown, name = await found(visit, visit.part("request")), visit.part("name")
    if name not in shown.arguments:
        raise NotFound("the request has no such argument")
    return PlainTextResponse(whole_text(shown.arguments[name]), headers={"content-security-policy": "default-src 'none'; sandbox"})


async def approve(visit: Visit) -> Response:
    """Approve a request as it was seen."""
    form = await visit.form()
    ruling = ruled(visit, visit.part("request"), "approve", form.get("reason", ""), digest=form.get("digest"))
    return await _said(visit, ruling)


async def reject(visit: Visit) -> Response:
    """Reject a request with a reason."""
    form = await visit.form()
    ruling = ruled(visit, visit.part("request"), "reject", form.get("reason", ""), digest=form.get("digest"))
    return await _said(visit, ruling)


async def happened(visit: Visit) -> Response:
    """Say that it did happen, and with what output, where that is known; of an undo: that it is undone already.

    What does not fit the tool's schema is told beside it.
    """
    form, shown = await visit.form(), await found(visit, visit.part("request"))
    typed, reason = form.get("output", ""), form.get("reason", "")
    output, problem = editing.output(shown.about.get("result", {}), typed)
    if problem:
        return await answered(visit, shown, status=422, testimony=Testimony(typed, reason, problem))
    ruling = ruled(visit, shown.id, "reject", reason, digest=form.get("digest"))
    return await _said(visit, ruling.model_copy(update={"happened": True, "output": output}), Testimony(typed, reason, ""))


async def _said(visit: Visit, ruling: Ruling, testimony: Testimony | None = None) -> Response:
    result = await visit.house.desk.rule(visit.tenant, ruling, visit.person, channel=visit.channel)
    shown = await found(visit, ruling.request)
    if result.accepted:
        return await answered(visit, shown, result)
    return await answered(visit, shown, result, status=409, testimony=testimony)


async def edit(visit: Visit) -> Response:
    """Approve with other arguments; what does not fit the tool's schema is shown beside its field."""
    form = await visit.form()
    shown = await found(visit, visit.part("request"))
    typed = {name: value for name, value in form.items() if name.startswith(editing.PREFIX)}
    arguments, problems = editing.read(shown.schema, shown.arguments, typed)
    if problems:
        return await answered(visit, shown, status=422, given=typed, problems=problems)
    ruling = ruled(visit, shown.id, "edit", form.get("reason", ""), digest=form.get("digest"), arguments=arguments)
    result = await visit.house.desk.rule(visit.tenant, ruling, visit.person, channel=visit.channel)
    if not result.accepted:
        return await answered(visit, await found(visit, shown.id), result, status=409, given=typed, problems={"": result.message})
    return await answered(visit, await found(visit, shown.id), result)


def ruled(
    visit: Visit, request: str, verdict: Verdict, reason: str, *, digest: str | None, arguments: dict[str, Any] | None = None
) -> Ruling:
    """Return the person's ruling on what they saw. Raises: BadInput where it does not say what that was."""
    if not digest:
        raise BadInput("`digest` is missing: a ruling names the action that was seen")
    return Ruling(request=request, verdict=verdict, by=visit.person.id, reason=reason, digest=digest, arguments=arguments)


async def bulk(visit: Visit) -> Response:
    """Approve identical requests of low risk with one word; each is ruled on by itself."""
    form = await visit.request.form(max_files=0)
    chosen = {str(value).partition(":")[0]: str(value).partition(":")[2] for value in form.getlist("chosen")}
    results = await approved(visit, chosen, str(form.get("reason", "")))
    taken = sum(result.accepted for result in results)
    listing = await listed(visit, Inbox.model_validate({name: form[name] for name in Inbox.model_fields if form.get(name)}))
    said = f"{taken} approved" + "".join(f"; {result.request}: {result.message}" for result in results if not result.accepted)
    if not visit.partial:
        return RedirectResponse("/inbox", 303)
    return visit.page("list.html", listing=listing, said=said, good=taken == len(results))


async def approved(visit: Visit, chosen: dict[str, str], reason: str) -> list[RuleResult]:
    """Approve requests together: id -> the digest that was seen. Raises: BadInput where they are not identical or not of low risk."""
    if not 1 <= len(chosen) <= TOGETHER:
        raise BadInput(f"choose 1 to {TOGETHER} requests")
    requests = [await found(visit, id) for id in chosen]
    if why := together(requests):
        raise BadInput(why)
    rulings = [ruled(visit, id, "approve", reason, digest=digest) for id, digest in chosen.items()]
    return [await visit.house.desk.rule(visit.tenant, ruling, visit.person, channel=visit.channel) for ruling in rulings]
