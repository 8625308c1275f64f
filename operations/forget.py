"""`claimbus forget`: what claims tell of a person is removed for good, with a receipt of where."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from aiokafka.errors import KafkaError as AIOKafkaError
from confluent_kafka import KafkaException
from pydantic import SecretStr
from sqlalchemy import Select, Table, func, select

from operations.bus import Company, Delivered, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json, sentence_of
from operations.printing import PlainConsole
from services.claims.people import FoundClaim, Person, claims_called, claims_of
from services.portal.media_store import removals
from services.portal.tables import claims as portal_claims
from services.suggestions.store import claims as suggestions_claims
from shared.audit.histories import removed_media_of
from shared.contract.codes import Code
from shared.contract.events import ClaimRedacted, ContentImported, LinkStarted
from shared.contract.requests import RedactClaim
from shared.contract.topics import CLAIM_EVENTS, DEAD_LETTERS, OPERATOR, ReadModel, Topic
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import DatabaseAway, engine_for, transaction

_REMOVED_S = 60.0
_LOOK_EVERY_S = 0.2
_SEGMENT = timedelta(days=1)
"""A segment is deleted as a whole, a day at most after its first message is old enough."""
_STORE = "store of files"
_FEWEST_DIGITS = 5
_READ_ALONG: Mapping[ReadModel, Table] = {ReadModel.PORTAL: portal_claims, ReadModel.SUGGESTIONS: suggestions_claims}
"""The read models that have something of people, with where they have which version of a claim."""
_TO_DO = (
    "Backups and standbys of the databases, and snapshots of the store, are yours: they have it until you remove them",
    "PostgreSQL reuses the space of what was overwritten when it vacuums; until then it is in the data files",
    "The companies that were told are to remove it on their side; those that saw the claim once are to be asked to",
)


@dataclass
class Forgotten:
    """What became of one claim; nothing in it tells of a person."""

    claim_id: UUID
    claim_number: str
    insurer: str
    outcome: str
    """`redacted`, `redacted before`, or the code of a refusal."""
    redacted_at: datetime | None = None
    request_id: str | None = None
    files: int = 0
    removed_from: list[str] = field(default_factory=list)
    waiting_for: list[str] = field(default_factory=list)
    """Where it is removed without anybody's doing, and was not yet when the receipt was written."""
    companies_told: list[str] = field(default_factory=list)
    companies_that_saw_it_once: list[str] = field(default_factory=list)
    linked_claims: list[dict[str, str]] = field(default_factory=list)
    """Claims that it was linked to, or from, with parts of it of their own, as far as they are not redacted too."""

    @property
    def is_done(self) -> bool:
        """Whether it is redacted."""
        return self.redacted_at is not None


def forget(
    claim: Annotated[str | None, typer.Argument(help="The claim's id or claim number.")] = None,
    insurer: Annotated[str | None, typer.Option(help="Only claims of this insurer.")] = None,
    phone: Annotated[str | None, typer.Option(help="All claims of the policyholder with this phone number.")] = None,
    e_mail: Annotated[str | None, typer.Option("--e-mail", help="… with this e-mail address.")] = None,
    name: Annotated[str | None, typer.Option(help="… with this name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is found.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove for good what claims tell of people, and print a receipt that tells of nobody.

    What is found is shown on standard error before, with its contents. A temporary claim has to be handled first.
    """
    person = Person(name, phone, e_mail)
    if (claim is None) == (person == Person()) or not all(v is None or v.strip() for v in (claim, name, phone, e_mail)):
        raise typer.BadParameter("name a claim, or a policyholder by --phone, --e-mail, --name or several of them")
    if phone is not None and sum(map(str.isdecimal, phone)) < _FEWEST_DIGITS:
        raise typer.BadParameter("is too short to be somebody's", param_hint="--phone")
    try:
        connection = load_connection(connection_file)
        database = connection.database("claims")
        looking = claims_called(database, claim, insurer) if claim is not None else claims_of(database, person, insurer)
        found = asyncio.run(looking)
        if not found:
            fail("there is no such claim")
        if claim is not None and len({each.claim.insurer for each in found}) > 1:
            fail(f"{', '.join(each.claim.insurer for each in found)} have a claim {claim}: name one with --insurer")
        _show(found, out if dry_run and not as_json else err)
        if dry_run:
            if as_json:
                print_json({"claims": [{"claim_id": str(each.claim.id)} for each in found]})
            return
        if not yes and not typer.confirm(f"Remove for good what these {len(found)} claims tell of people?", err=True):
            fail("nothing was removed")
        forgotten = _forget(connection, found)
    except Unreachable as error:
        fail(error)
    except (NoAnswer, KafkaException, AIOKafkaError) as error:
        fail(f"{sentence_of(error)}\nThe same command does the rest")
    except (OSError, TimeoutError, DatabaseAway):
        fail("the database of claims does not answer; the same command does the rest")
    receipt = _receipt(forgotten)
    if as_json:
        print_json(receipt)
    else:
        _print(receipt)
    if not all(each.is_done for each in forgotten):
        raise typer.Exit(1)


def _show(found: Sequence[FoundClaim], console: PlainConsole) -> None:
    """Show what was found, so that whoever asks can see that it is the person who is meant."""
    for each in found:
        claim = each.claim
        who, where = claim.policyholder, claim.incident.address
        state = (
            "redacted" if claim.redacted_at else f"{claim.state}{', is being linked' if _is_under_way(each) else ''}"
        )
        console.print(f"{claim.claim_number} of {claim.insurer} ({claim.id}), {state}")
        console.print(f"  {', '.join(filter(None, (who.name, who.phone, who.email)))}")
        console.print(
            f"  {claim.incident.cause} on {claim.incident.date}, {where.street}, {where.postal_code} {where.city}"
        )
        console.print(f"  reports: {sum(task.reports for task in claim.tasks)}, files: {claim.media}")


def _is_under_way(found: FoundClaim) -> bool:
    link = found.claim.link
    return link is not None and (link.linked_at is None or link.being_undone)


def _forget(connection: Connection, found: Sequence[FoundClaim]) -> list[Forgotten]:
    """Ask for each claim that is not redacted yet, and wait until the others have removed it too."""
    asked = {
        each.claim.id: NewRequest(RedactClaim.NAME, {"claim_id": str(each.claim.id)})
        for each in found
        if each.claim.redacted_at is None
    }
    with Company(connection, OPERATOR) as operator:
        outcomes = dict(zip(asked, operator.ask(*asked.values()), strict=True)) if asked else {}
    again = asyncio.run(_as_they_are(connection, [each.claim.id for each in found]))
    forgotten = [_forgotten(each, asked.get(each.claim.id), outcomes.get(each.claim.id)) for each in again]
    done = [each for each, of in zip(again, forgotten, strict=True) if of.is_done]
    waiting = asyncio.run(_until_removed(connection, done))
    linked = sorted({id for each in again for id in _linked(each)})
    others = {
        of.claim.id: {"claim_id": str(of.claim.id), "claim_number": of.claim.claim_number}
        for of in asyncio.run(_as_they_are(connection, linked))
        if of.claim.redacted_at is None
    }
    for each, of in zip(again, forgotten, strict=True):
        of.linked_claims = [others[id] for id in _linked(each) if id in others]
        if of.is_done:
            of.waiting_for = sorted(waiting.get(of.claim_id, ()))
            looked_at = ["record of claims", *(reader for reader in _READ_ALONG if reader in connection.databases)]
            looked_at += [_STORE] if ReadModel.PORTAL in connection.databases else []
            of.removed_from = [place for place in looked_at if place not in of.waiting_for]
    return forgotten


async def _as_they_are(connection: Connection, ids: Sequence[UUID]) -> list[FoundClaim]:
    return [one for id in ids for one in await claims_called(connection.database("claims"), str(id), None)]


def _forgotten(found: FoundClaim, request: NewRequest | None, outcome: Delivered | None) -> Forgotten:
    claim = found.claim
    refusal = None if outcome is None or outcome.accepted else str(outcome.body["code"])
    before = outcome is None or refusal == Code.CLAIM_REDACTED
    told = {company for event in found.history if isinstance(event, ClaimRedacted) for company in event.audience}
    saw = {company for event in found.history for company in event.audience}
    return Forgotten(
        claim_id=claim.id,
        claim_number=claim.claim_number,
        insurer=claim.insurer,
        outcome="redacted before" if before else refusal or "redacted",
        redacted_at=claim.redacted_at,
        request_id=request.id if request is not None and not before else None,
        files=len(set(removed_media_of(found.history))),
        companies_told=sorted(told),
        companies_that_saw_it_once=sorted(saw - told) if claim.redacted_at else [],
    )


def _linked(found: FoundClaim) -> Iterator[UUID]:
    """The claims that have, or had, something of this one, or from which it has something."""
    linked: dict[UUID, None] = {}
    for event in found.history:
        if isinstance(event, LinkStarted):
            linked[event.target_claim_id] = None
        elif isinstance(event, ContentImported):
            linked[event.source_claim_id] = None
    yield from linked


async def _until_removed(connection: Connection, redacted: Collection[FoundClaim]) -> dict[UUID, set[str]]:
    """Wait until the read models and the store have removed it too; return what has not in time, by claim."""
    deadline = time.monotonic() + _REMOVED_S
    with err.status("waiting until it is removed everywhere"):
        while True:
            waiting = {each.claim.id: left for each in redacted if (left := await _waiting(connection, each))}
            if not waiting or time.monotonic() > deadline:
                return waiting
            await asyncio.sleep(_LOOK_EVERY_S)


async def _waiting(connection: Connection, found: FoundClaim) -> set[str]:
    """Where it is still, of the databases that the connection has."""
    waiting = set[str]()
    version = next(event.version for event in found.history if isinstance(event, ClaimRedacted))
    for reader, table in _READ_ALONG.items():
        if reader not in connection.databases:
            continue
        files = list(removed_media_of(found.history)) if reader is ReadModel.PORTAL else []
        try:
            met, left = await _has(
                connection, reader, select(table.c.version).where(table.c.id == found.claim.id), files
            )
        except (OSError, DatabaseAway):
            met, left = 0, len(files)
        if met is not None and met < version:
            waiting.add(reader)
        if left or (files and reader in waiting):
            waiting.add(_STORE)
    return waiting


async def _has(
    connection: Connection, reader: ReadModel, version: Select[tuple[int]], files: Sequence[UUID]
) -> tuple[int | None, int]:
    """The version at which a read model has a claim, and how many of these files wait to be removed from the store."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database(reader))))
    try:
        async with transaction(engine) as database:
            waiting = select(func.count()).select_from(removals).where(removals.c.stored_as.in_(files))
            return await database.scalar(version), (await database.scalar(waiting) or 0) if files else 0
    finally:
        await engine.dispose()


def _receipt(forgotten: Sequence[Forgotten]) -> dict[str, Any]:
    last = max((each.redacted_at for each in forgotten if each.redacted_at is not None), default=None)
    return {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "claims": [_document(each) for each in forgotten],
        "ages_out": {}
        if last is None
        else {"topics": _gone(last, CLAIM_EVENTS), "dead letters": _gone(last, DEAD_LETTERS)},
        "left_to_do": list(_TO_DO),
    }


def _document(forgotten: Forgotten) -> dict[str, Any]:
    at = forgotten.redacted_at
    written = {"claim_id": str(forgotten.claim_id), "redacted_at": at and at.isoformat(timespec="seconds")}
    return asdict(forgotten) | written


def _gone(last: datetime, topic: Topic) -> str:
    """By which day a topic has nothing left that was appended before a moment."""
    return (last + timedelta(milliseconds=topic.kept_ms) + _SEGMENT + timedelta(days=1)).date().isoformat()


def _print(receipt: dict[str, Any]) -> None:
    out.print(f"Receipt of {receipt['written_at']}")
    for each in receipt["claims"]:
        out.print("")
        out.print(f"{each['claim_number']} of {each['insurer']} ({each['claim_id']}): {each['outcome']}")
        for label, value in (
            ("redacted at", each["redacted_at"]),
            ("request", each["request_id"]),
            ("files removed", each["files"]),
            ("removed from", each["removed_from"]),
            ("removed from later, by itself", each["waiting_for"]),
            ("companies told", each["companies_told"]),
            ("companies that saw it once, and were not told", each["companies_that_saw_it_once"]),
            (
                "linked claims, which have parts of it",
                [f"{of['claim_number']} ({of['claim_id']})" for of in each["linked_claims"]],
            ),
        ):
            if value:
                out.print(f"  {label}: {', '.join(value) if isinstance(value, list) else value}")
    if receipt["ages_out"]:
        topics, letters = receipt["ages_out"]["topics"], receipt["ages_out"]["dead letters"]
        out.print("")
        out.print(f"On the topics what was sent before ages out by {topics}, of dead letters by {letters}")
    for sentence in receipt["left_to_do"]:
        out.print(sentence)
