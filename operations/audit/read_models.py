"""What the read models have of each claim, and what they should have of it: each by what stands for its rows."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import ARRAY, Column, Table, Uuid, and_, bindparam, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.claims.claim import Claim, State
from services.portal import claim_view
from services.portal import tables as portal
from services.portal.claim_view import ClaimView
from services.portal.media_store import MediaChanges
from services.portal.media_store import media as portal_media
from services.portal.media_store import media_claims as portal_media_claims
from services.portal.read_model import listing_rows, office_rows, task_rows
from services.reporting import tables as reporting
from services.reporting.counting import Counting
from services.reporting.kept_reports import made_report
from services.reporting.projection import Changes
from services.reporting.store import NO_LIMITS
from services.suggestions import store as suggestions
from services.suggestions.claim import Claim as SuggestedClaim
from services.suggestions.claim import State as SuggestedState
from services.suggestions.particulars import blocks_of, particulars_of
from shared.contract.events import CLAIM_EVENTS, ClaimEvent
from shared.contract.reports import Figures
from shared.contract.topics import ReadModel

Contents = Mapping[str, bytes]
"""What stands for the rows of a claim, by what they are."""

CLAIMS_AT_A_TIME = 200
_ROWS_AT_A_TIME = 5000
_SIZE = 8

PARTS: Mapping[ReadModel, Sequence[str]] = {
    ReadModel.PORTAL: ("page", "history", "offices", "open tasks", "files", "readers of files"),
    ReadModel.SUGGESTIONS: ("particulars", "blocks"),
    ReadModel.REPORTING: ("counts", "amended causes", "undone links"),
}
"""What is read together with a claim's version."""
APART: Mapping[ReadModel, tuple[str, Table]] = {
    ReadModel.PORTAL: ("lists", portal.listing),
    ReadModel.REPORTING: ("tasks", reporting.tasks),
}
"""What is not found by its claim, and so is read later, row by row."""


def together(reader: ReadModel, contents: Contents) -> bytes:
    """Write what is read together in few bytes; `which_differ` tells what of it is another."""
    return b"".join(contents[part] for part in PARTS[reader])


def which_differ(reader: ReadModel, found: bytes, expected: bytes) -> Iterator[str]:
    """Yield what is not as expected."""
    for number, part in enumerate(PARTS[reader]):
        place = slice(number * _SIZE, (number + 1) * _SIZE)
        if found[place] != expected[place]:
            yield part


def row_digest(*row: Any) -> bytes:
    """Return what stands for a row: moments in whichever zone they are written, and texts as they are."""
    values = [value.astimezone(UTC) if isinstance(value, datetime) else value for value in row]
    return blake2b(to_json(values), digest_size=_SIZE).digest()


def _digest(rows: Iterable[Sequence[Any]]) -> bytes:
    return blake2b(b"".join(sorted(row_digest(*row) for row in rows)), digest_size=_SIZE).digest()


# What there should be


def expected_of(reader: ReadModel, claim: Claim, events: Sequence[ClaimEvent]) -> tuple[bytes, Sequence[bytes]]:
    """Return what stands for all that a read model should have of a claim after these events, which make this claim.

    First what is read together, then each row of what is read apart.
    """
    contents, apart = _EXPECTED[reader](claim, events)
    return together(reader, contents), sorted(row_digest(*row) for row in apart)


Expected = tuple[Contents, Iterable[Sequence[Any]]]


def _portal(_: Claim, events: Sequence[ClaimEvent]) -> Expected:
    view: ClaimView | None = None
    for event in events:
        view = claim_view.apply(view, event)
    assert view is not None  # noqa: S101 - there is a first event
    files = MediaChanges({view.id: 0})
    for event in events:
        files.apply(event)
    return {
        "page": _digest([[view.json_bytes()]]),
        "history": _digest([event.version, event.type(), event.json_bytes()] for event in events),
        "offices": _digest(_values(portal.office_listing, office_rows(view))),
        "open tasks": _digest(_values(portal.open_tasks, task_rows(view))),
        "files": _digest(_values(portal_media, files.files.values())),
        "readers of files": _digest([[events[-1].version, sorted(events[-1].audience_after)]]),
    }, ([*shown, sorted({*words[1:-1].split("' '")})] for *shown, words in _values(portal.listing, listing_rows(view)))


def _suggestions(claim: Claim, _: Sequence[ClaimEvent]) -> Expected:
    """Made of the record's claim, and not of what suggestions makes of events."""
    particulars = particulars_of(claim.incident, claim.policyholder, claim.policy_number)
    expected = SuggestedClaim(
        claim.id, claim.insurer, claim.version, SuggestedState(claim.state), claim.claim_number, particulars
    )
    is_looked_for = expected.state is not SuggestedState.CANCELLED
    return {
        "particulars": _digest([list(suggestions.row_of(expected).values())]),
        "blocks": _digest(
            (block, expected.state is SuggestedState.TEMPORARY, particulars.incident_date, claim.id)
            for block in (blocks_of(claim.insurer, particulars) if is_looked_for else ())
        ),
    }, ()


def _reporting(claim: Claim, events: Sequence[ClaimEvent]) -> Expected:
    changes = Changes(claims={})
    changes.apply(events)
    return {
        "counts": _digest([_fields(reporting.claims, changes.claims[claim.id])]),
        "amended causes": _digest(_fields(reporting.amended_causes, each) for each in changes.causes),
        "undone links": _digest(_fields(reporting.undone_links, each) for each in changes.undone_links),
    }, (
        [task.task_id, task.claim_id, task.insurer, task.assigned_at, changes.reported.get(task.task_id)]
        for task in changes.tasks
    )


_EXPECTED: Mapping[ReadModel, Callable[[Claim, Sequence[ClaimEvent]], Expected]] = {
    ReadModel.PORTAL: _portal,
    ReadModel.SUGGESTIONS: _suggestions,
    ReadModel.REPORTING: _reporting,
}


def _values(table: Table, rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
    return ([row[column.name] for column in table.c] for row in rows)


def _fields(table: Table, of: object) -> list[Any]:
    return [getattr(of, column.name) for column in table.c]


# What there is


async def page_of(connection: AsyncConnection, reader: ReadModel, after: UUID) -> list[tuple[UUID, int, bytes]]:
    """Read the claims that come next by id, each with its version and with what stands for its rows."""
    return await _READ[reader](connection, after)


async def _read_portal(connection: AsyncConnection, after: UUID) -> list[tuple[UUID, int, bytes]]:
    page = await _next(connection, portal.claims, portal.claims.c.id, after)
    ids = [row.id for row in page]
    history = await _by_claim(connection, ids, portal.history, without=("request_id",))
    offices = await _by_claim(connection, ids, portal.office_listing)
    open_tasks = await _by_claim(connection, ids, portal.open_tasks)
    files = await _by_claim(connection, ids, portal_media)
    readers = await _by_claim(connection, ids, portal_media_claims)
    return [
        (
            row.id,
            row.version,
            together(
                ReadModel.PORTAL,
                {
                    "page": _digest([[_written_now(ClaimView, row.view)]]),
                    "history": _digest(
                        [version, type, _written_now(CLAIM_EVENTS.get(type), event)]
                        for _, version, type, event in history[row.id]
                    ),
                    "offices": _digest(offices[row.id]),
                    "open tasks": _digest(open_tasks[row.id]),
                    "files": _digest(files[row.id]),
                    "readers of files": _digest([at, sorted(audience)] for _, at, audience in readers[row.id]),
                },
            ),
        )
        for row in page
    ]


async def _read_suggestions(connection: AsyncConnection, after: UUID) -> list[tuple[UUID, int, bytes]]:
    page = await _next(connection, suggestions.claims, suggestions.claims.c.id, after)
    blocks = await _by_claim(connection, [row.id for row in page], suggestions.blocks)
    return [
        (
            row.id,
            row.version,
            together(ReadModel.SUGGESTIONS, {"particulars": _digest([row]), "blocks": _digest(blocks[row.id])}),
        )
        for row in page
    ]


async def _read_reporting(connection: AsyncConnection, after: UUID) -> list[tuple[UUID, int, bytes]]:
    page = await _next(connection, reporting.claims, reporting.claims.c.claim_id, after)
    ids = [row.claim_id for row in page]
    causes = await _by_claim(connection, ids, reporting.amended_causes)
    undone = await _by_claim(connection, ids, reporting.undone_links)
    return [
        (
            row.claim_id,
            row.version,
            together(
                ReadModel.REPORTING,
                {
                    "counts": _digest([row]),
                    "amended causes": _digest(causes[row.claim_id]),
                    "undone links": _digest(undone[row.claim_id]),
                },
            ),
        )
        for row in page
    ]


_READ = {
    ReadModel.PORTAL: _read_portal,
    ReadModel.SUGGESTIONS: _read_suggestions,
    ReadModel.REPORTING: _read_reporting,
}


async def rows_apart(connection: AsyncConnection, reader: ReadModel, after: Sequence[Any]) -> list[Any]:
    """Read rows of what is read apart, by its key, from behind `after` on; an empty one is the beginning."""
    _, table = APART[reader]
    key = list(table.primary_key.columns)
    columns = [func.tsvector_to_array(c).label(c.name) if c.name == "words" else c for c in table.c]
    query = select(*columns).order_by(*key).limit(_ROWS_AT_A_TIME)
    if after:
        query = query.where(tuple_(*key) > tuple(after))
    return list((await connection.execute(query)).all())


def key_of(reader: ReadModel, row: Any) -> Sequence[Any]:
    """Return the key of a row that was read apart."""
    return [getattr(row, column.name) for column in APART[reader][1].primary_key.columns]


def digest_apart(row: Any) -> bytes:
    """Return what stands for a row that was read apart."""
    return row_digest(*(sorted(value) if isinstance(value, list) else value for value in row))


async def _next(connection: AsyncConnection, table: Table, id: Column[UUID], after: UUID) -> list[Any]:
    query = select(table).where(id > after).order_by(id).limit(CLAIMS_AT_A_TIME)
    return list((await connection.execute(query)).all())


async def _by_claim(
    connection: AsyncConnection, ids: Collection[UUID], table: Table, *, without: Collection[str] = ()
) -> Mapping[UUID, list[Any]]:
    """Find rows by their claims, which are in the column `claim_id`."""
    columns = [column for column in table.c if column.name not in without]
    query = select(*columns).where(table.c.claim_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in await connection.execute(query, {"ids": list(ids)}):
        found[row.claim_id].append(row)
    return found


def _written_now(model: Any, text: str) -> bytes:
    """Write a kept message as this version does; what cannot be read stays as it is, and is what nobody expects."""
    try:
        return bytes(model.model_validate_json(text).json_bytes())
    except (AttributeError, ValidationError):
        return text.encode()


# What is counted over all claims


async def miscounted(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Find the insurers for which the portal shows another number of temporary claims than its lists have."""
    await _take_time(connection)
    listed = portal.listing.c
    mine = and_(listed.company == listed.insurer, listed.state == State.TEMPORARY)
    query = select(listed.insurer, func.count().label("claims")).where(mine).group_by(listed.insurer)
    there = {row.insurer: row.claims for row in await connection.execute(query)}
    shown = {row.insurer: row.claims for row in await connection.execute(select(portal.waiting))}
    return [
        (insurer, f"the portal shows {shown.get(insurer, 0)} temporary claims, and lists {there.get(insurer, 0)}")
        for insurer in sorted(there.keys() | shown.keys())
        if shown.get(insurer, 0) != there.get(insurer, 0)
    ]


async def is_as_counted(connection: AsyncConnection, row: Any) -> bool:
    """Whether a kept report has what comes of counting its period again."""
    await _take_time(connection)
    kept = made_report(row)
    report = kept.message.report
    counted = await Counting(connection).figures(row.insurer, kept.period, closed_at=report.closed_at)
    return all(getattr(report, name) == getattr(counted, name) for name in Figures.model_fields)


async def _take_time(connection: AsyncConnection) -> None:
    """Let a transaction last as long as counting much takes."""
    for limit in NO_LIMITS:
        await connection.execute(text(f"set local {limit} = 0"))
