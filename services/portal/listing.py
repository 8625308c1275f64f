"""The claims list: what it can be filtered and sorted by, and finding one page of it in a time that no size changes.

Every filter is an exact part of an index: one walk for each combination of the states and causes that are wanted, in
the order of the chosen day, merged; for an office in a table of its own, since a claim can be at several. A page is
found by its first row, and counting stops at `MOST_COUNTED`.
A text is looked for at the list's beginning, where common words are met soon, and then in an inverted index.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.claim_view import State
from services.portal.phones import sought
from services.portal.read_model import facets, lexemes, words
from services.portal.tables import listing, office_listing
from shared.contract.fields import Cause
from shared.domain.clock import start_of, zone_to_show

PAGE = 50
MOST_COUNTED = 1000
"""Beyond this a count is shown as "more than"."""

_BEGINNING = 1000
"""How many of a list's first claims are looked at before an index is used."""
_FEW = 2000
"""How many matches of a text are taken from the inverted index and sorted."""
_SHORTEST_BEGINNING = 3
"""Shorter words of a text match whole words only."""
_FIRST_DAY, _LAST_DAY = date(1, 1, 3), date(9999, 12, 29)
"""Outside of these a day's beginning can be a moment that there is no `datetime` of. No claim is so old, or so new."""
_LONGEST_PLACE = 200
"""The longest `after` of an address; the real ones are half as long."""


class Day(StrEnum):
    """The day that a list is sorted and bounded by."""

    REGISTERED = "registered"
    INCIDENT = "incident"


@dataclass(frozen=True)
class Filter:
    """What somebody wants to see of the claims; the default is all, what was registered last first."""

    state: State | None = None
    cause: Cause | None = None
    office: str | None = None
    day: Day = Day.REGISTERED
    first: date | None = None
    """The first day, in the viewer's time zone."""
    last: date | None = None
    text: str = ""
    newest_first: bool = True

    @property
    def readings(self) -> list[list[str]]:
        """The words of the text, all of which are looked for; or one, where it can be a phone number."""
        number = sought(self.text)
        found = [sorted(words(self.text)), [number] if number else []]
        return [reading for n, reading in enumerate(found) if reading and reading not in found[:n]]


@dataclass(frozen=True)
class Row:
    """A claim in the list."""

    claim_id: UUID
    insurer: str
    state: State
    cause: Cause
    office: str
    registered_at: datetime
    incident_date: date
    claim_number: str
    policyholder: str
    place: str
    handler: str | None


@dataclass(frozen=True)
class Count:
    """How many match: exactly this many, or more."""

    number: int
    exact: bool


def counted(found: int) -> Count:
    """A count that stops at one more than is shown."""
    return Count(min(found, MOST_COUNTED), exact=found <= MOST_COUNTED)


@dataclass(frozen=True)
class Page:
    """A part of the list; `after` is where the next one begins, if there is one."""

    rows: Sequence[Row]
    count: Count
    after: str | None = None


@dataclass(frozen=True)
class _Wanted:
    """A filter for one company, in the terms of the table."""

    company: str
    chosen: Filter
    zone: tzinfo
    after: tuple[Any, UUID] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def day(self, table: Table = listing) -> Column[Any]:
        return table.c.registered_at if self.chosen.day is Day.REGISTERED else table.c.incident_date

    def key(self, table: Table = listing) -> tuple[Column[Any], Column[Any]]:
        return self.day(table), table.c.claim_id

    def query(self) -> ColumnElement[Any]:
        """Write the text and the facets as PostgreSQL looks for them: longer words as a beginning."""
        chosen = self.chosen
        readings = [" & ".join(map(self._term, reading)) for reading in chosen.readings]
        exact = lexemes(self.company, facets(chosen.state, chosen.cause, chosen.office))
        terms = [f"({' | '.join(readings)})", *map(_quoted, exact)]
        return cast(bindparam(None, " & ".join(terms), type_=Text), TSQUERY)

    def _term(self, word: str) -> str:
        (lexeme,) = lexemes(self.company, [word])
        return f"{_quoted(lexeme)}:*" if len(word) >= _SHORTEST_BEGINNING else _quoted(lexeme)

    def order(self, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [column.desc() if self.chosen.newest_first else column.asc() for column in columns]

    def bounds(self, table: Table = listing) -> list[ColumnElement[bool]]:
        """The company's own rows, between the days."""
        conditions: list[ColumnElement[bool]] = [table.c.company == self.company]
        first, last = self.chosen.first, self.chosen.last
        if first is not None:
            conditions.append(self.day(table) >= self._beginning_of(min(max(first, _FIRST_DAY), _LAST_DAY)))
        if last is not None:
            end = min(max(last, _FIRST_DAY), _LAST_DAY) + timedelta(days=1)
            conditions.append(self.day(table) < self._beginning_of(end))
        return conditions

    def left(self, table: Table = listing) -> list[ColumnElement[bool]]:
        """What of it comes after the page before."""
        if self.after is None:
            return self.bounds(table)
        key = self.key(table)
        place = tuple_(*(bindparam(None, value, type_=c.type) for value, c in zip(self.after, key, strict=True)))
        return [*self.bounds(table), tuple_(*key) < place if self.chosen.newest_first else tuple_(*key) > place]

    def _beginning_of(self, day: date) -> date:
        return day if self.chosen.day is Day.INCIDENT else start_of(day, self.zone)


async def page(connection: AsyncConnection, company: str, chosen: Filter, zone: str, after: str | None = None) -> Page:
    """Find the part of a company's list that comes after another one's end.

    Raises ValueError for an `after` that is not the end of a page of this list.
    """
    wanted = _Wanted(company, chosen, zone_to_show(zone)[0], _place(after, chosen.day))
    keys, count = await (_with_text if chosen.readings else _without_text)(connection, wanted)
    more = len(keys) > PAGE
    keys = keys[:PAGE]
    return Page(
        await _rows(connection, company, [claim_id for _, claim_id in keys]),
        count,
        _written(keys[-1]) if more else None,
    )


async def _without_text(connection: AsyncConnection, wanted: _Wanted) -> tuple[list[Any], Count]:
    keys = await connection.execute(_walk(wanted, PAGE + 1))
    all_of_them = _walk(replace(wanted, after=None), MOST_COUNTED + 1).subquery()
    count = await connection.scalar(select(func.count()).select_from(all_of_them)) or 0
    return [(day, id) for day, id in keys], counted(count)


async def _with_text(connection: AsyncConnection, wanted: _Wanted) -> tuple[list[Any], Count]:
    """Find the claims with a text where they are found soonest.

    What many have is met at the beginning of the list. What few have is taken out of the inverted index and sorted.
    What is too rare for the one and too common for the other is met along the list after a while.
    """
    keys = await _at_the_beginning(connection, wanted)
    if len(keys) > PAGE:
        return keys, Count(PAGE, exact=False)
    few = select(*wanted.key()).where(*wanted.bounds(), listing.c.words.bool_op("@@")(wanted.query())).limit(_FEW + 1)
    found = [(day, id) for day, id in await connection.execute(few)]
    if len(found) <= _FEW:
        after, newest_first = wanted.after, wanted.chosen.newest_first
        left = [k for k in found if after is None or (k < after if newest_first else k > after)]
        return sorted(left, reverse=newest_first)[: PAGE + 1], counted(len(found))
    conditions = [*wanted.left(), _has(wanted.query())]
    along = select(*wanted.key()).where(*conditions).order_by(*wanted.order(*wanted.key())).limit(PAGE + 1)
    return [(day, id) for day, id in await connection.execute(along)], Count(MOST_COUNTED, exact=False)


async def _at_the_beginning(connection: AsyncConnection, wanted: _Wanted) -> list[Any]:
    beginning = _walk(wanted, _BEGINNING).cte("beginning")
    same = and_(listing.c.company == wanted.company, listing.c.claim_id == beginning.c.claim_id)
    met = select(*beginning.c).join(listing, same).where(_has(wanted.query()))
    ordered = met.order_by(*wanted.order(*beginning.c)).limit(PAGE + 1)
    return [(day, id) for day, id in await connection.execute(ordered)]


def _has(query: ColumnElement[Any]) -> ColumnElement[bool]:
    """Look at each row: as a function, so that no index is used for it."""
    return func.ts_match_vq(listing.c.words, query)


def _walk(wanted: _Wanted, most: int) -> Select[Any]:
    """Walk the list in its order: in one index, or one walk for each combination that is wanted, merged."""
    chosen = wanted.chosen
    table = listing if chosen.office is None else office_listing
    walk = select(*wanted.key(table)).where(*wanted.left(table))
    order = wanted.order(*wanted.key(table))
    if chosen.state is None and chosen.cause is None and chosen.office is None:
        return walk.order_by(*order).limit(most)
    states = _each("state", [chosen.state] if chosen.state else list(State))
    causes = _each("cause", [chosen.cause] if chosen.cause else list(Cause))
    same = [table.c.state == states.c.state, table.c.cause == causes.c.cause]
    if chosen.office is not None:
        same.append(table.c.office == chosen.office)
    each = walk.where(*same).order_by(*order).limit(most).lateral("each")
    merged = select(*each.c).select_from(states.join(causes, true()).join(each, true()))
    return merged.order_by(*wanted.order(*each.c)).limit(most)


def _each(name: str, values: Sequence[str]) -> Any:
    return func.unnest(bindparam(None, values, type_=ARRAY(Text))).table_valued(name).render_derived(name=f"{name}s")


async def _rows(connection: AsyncConnection, company: str, ids: Sequence[UUID]) -> list[Row]:
    columns = [column for column in listing.c if column.name not in {"company", "words"}]
    query = select(*columns).where(
        listing.c.company == company, listing.c.claim_id == func.any(bindparam("ids", list(ids), type_=ARRAY(Uuid)))
    )
    rows = {
        row.claim_id: Row(**{**row._mapping, "state": State(row.state), "cause": Cause(row.cause)})
        for row in await connection.execute(query)
    }
    return [rows[id] for id in ids if id in rows]


def _quoted(lexeme: str) -> str:
    """Write a lexeme for `tsquery`, whatever is in it."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _written(key: tuple[Any, UUID]) -> str:
    return base64.urlsafe_b64encode(json.dumps([key[0].isoformat(), str(key[1])]).encode()).decode().rstrip("=")


def _place(after: str | None, day: Day) -> tuple[Any, UUID] | None:
    if not after:
        return None
    try:
        at, id = json.loads(base64.urlsafe_b64decode(after[:_LONGEST_PLACE] + "=" * (-len(after) % 4)))
        return (_moment if day is Day.REGISTERED else date.fromisoformat)(at), UUID(id)
    except (binascii.Error, TypeError, ValueError, AttributeError, OverflowError):
        raise ValueError("is not the end of a page") from None


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("is in no time zone")
    return at.astimezone(UTC)
