"""A filter: which facts a recall may see, as SQL over the alias ``f`` of the table `fact`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from contracts.errors import BadInput
from database import kept
from memory import bounds

COLUMNS = {"scopes": "scope", "kinds": "kind", "subjects": "subject", "sessions": "session", "speakers": "speaker"}
TIMES = ("since", "until", "as_of")
MOST = 1_000
"""Values that one field may list."""
# Written so that no index of what is still believed seems to serve: such a one begins with the tenant too, and would be read whole.
NOW = """
(f.superseded_at IS NULL) IS NOT FALSE AND (f.valid_to IS NULL OR f.valid_to > statement_timestamp())
AND (f.valid_from IS NULL OR f.valid_from <= statement_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Values that a fact must have; an empty field lets every value pass, and no time means now.

    since, until: when it was said, the first included, the last not. as_of: what was believed, and held, at that time.
    Without it a fact that was superseded, or no longer holds, is never found.
    """

    scopes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None

    @property
    def narrow(self) -> bool:
        """Tell whether any field but ``as_of`` leaves facts out."""
        return any(getattr(self, name) for name in (*COLUMNS, "since", "until"))

    @property
    def facets(self) -> dict[str, int]:
        """Return the columns whose values it lists, each with its place among the parameters of `columns`.

        Empty where it lists none, and where it says what a vector's row cannot: when something was said, or that it says nothing.
        """
        listed = {name: column for name, column in COLUMNS.items() if getattr(self, name)}
        if self.since or self.until or any("" in getattr(self, name) for name in listed):
            return {}
        return {column: place for place, column in enumerate(listed.values())}

    def columns(self, first: int) -> tuple[str, list[Any]]:
        """Return the condition on what a fact says of itself, whatever the time; parameters begin at ``$first``."""
        parts, values = [], []
        for name, column in COLUMNS.items():
            if wanted := getattr(self, name):
                parts.append(f"f.{column} = ANY(${first + len(values)}::text[])")
                values.append(list(wanted))
        for name, sign in (("since", ">="), ("until", "<")):
            if (moment := getattr(self, name)) is not None:
                parts.append(f"f.at {sign} ${first + len(values)}::timestamptz")
                values.append(moment)
        return " AND ".join(parts) or "true", values

    def sql(self, first: int) -> tuple[str, list[Any]]:
        """Return the whole condition and its parameters, which begin at ``$first``."""
        columns, values = self.columns(first)
        if self.as_of is None:
            return f"{columns} AND {NOW}", values
        then = f"${first + len(values)}::timestamptz"
        believed = f"f.recorded_at <= {then} AND (f.superseded_at IS NULL OR f.superseded_at > {then})"
        held = f"(f.valid_from IS NULL OR f.valid_from <= {then}) AND (f.valid_to IS NULL OR f.valid_to > {then})"
        return f"{columns} AND {believed} AND {held}", [*values, self.as_of]

    def told(self) -> dict[str, Any]:
        """Return the filter as JSON keeps it; `read` takes it back."""
        named = {name: list(getattr(self, name)) for name in COLUMNS if getattr(self, name)}
        return named | {name: moment.isoformat() for name in TIMES if (moment := getattr(self, name)) is not None}


def read(given: Mapping[str, Any]) -> Filter:
    """Return the filter that a JSON object means. Raises: BadInput which names the field."""
    if unknown := set(given) - {field.name for field in fields(Filter)}:
        known = ", ".join(field.name for field in fields(Filter))
        raise BadInput(f"filter: there is no field {sorted(unknown)[0]!r}; there are {known}")
    values: dict[str, Any] = {name: _texts(name, given[name]) for name in COLUMNS if name in given}
    values |= {name: _moment(name, given[name]) for name in TIMES if given.get(name) is not None}
    return Filter(**values)


def _texts(name: str, given: Any) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(value, str) for value in listed):
        raise BadInput(f"filter: {name} is a list of texts")
    if not listed:
        raise BadInput(f"filter: {name} lists nothing, so nothing would pass; leave it out to let everything pass")
    if len(listed) > MOST:
        raise BadInput(f"filter: {name} lists {len(listed)} values; at most {MOST} may be")
    # As texts are kept: what no row can hold is asked for as what stands in its place.
    return tuple(map(kept, listed))


def _moment(name: str, given: Any) -> datetime:
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise BadInput(f"filter: {name} is {given!r}, and no time like 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise BadInput(f"filter: {name} is {given!r}, which names no time zone; add Z or +01:00")
    # The edges of time, in some zones, are more than a database can compare with.
    return bounds.moment(moment, f"filter: {name}") or moment
