"""Deliberate defects, one of which is planted at a time, to see what finds it. None is in anything that is shipped."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table

import services.claims.link_rules
import services.claims.messages
import services.claims.store
import services.portal.media_store
import services.portal.read_model
import services.suggestions.claim
import shared.domain.office_hours
import shared.messaging.publisher
from services.claims.claim import Claim
from services.claims.decisions import Accepted, RequestKey
from services.claims.store import Remembered, StoredEvent, Transaction
from services.claims.tables import claim_events, claim_numbers, claims, follow_ups, requests
from services.delivery.rules import Letter, addressed
from services.portal.tables import open_tasks
from shared.contract.envelope import Outgoing
from shared.contract.fields import Hours
from shared.contract.linking import FinishLink
from shared.contract.outcomes import DecisionRule
from shared.directory_reader import DirectoryReader
from shared.messaging.loop import Loop
from shared.messaging.offsets import OffsetsInHand
from shared.messaging.record import Record
from shared.storage.arrays import in_one_statement, insert_of, replacement_of
from shared.storage.positions import MOVE

Defect = Callable[[pytest.MonkeyPatch], None]


def commits_before_publishing(patch: pytest.MonkeyPatch) -> None:
    """Commit the offsets of a batch when it is decoded."""

    async def finish(loop: Loop[Any], records: Sequence[Record]) -> None:
        decoded, _ = loop._decode(records)
        loop._commit(records)
        await loop._decide_and_publish(decoded, records)

    patch.setattr(Loop, "_finish", finish)


def commits_one_too_far(patch: pytest.MonkeyPatch) -> None:
    """Commit the offset behind the next message that is to be read."""
    ready = OffsetsInHand.ready

    def one_more(offsets: OffsetsInHand) -> dict[Any, int]:
        places = offsets._partitions
        return {at: end + 1 for at, end in ready(offsets).items() if places[at].committed != end + 1}

    patch.setattr(OffsetsInHand, "ready", one_more)


def publishes_without_waiting(patch: pytest.MonkeyPatch) -> None:
    """Take what was handed to the client for published."""

    class Hasty:
        def __init__(self, producer: Any) -> None:
            self._producer = producer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._producer, name)

        async def send_batch(self, *batch: Any, **where: Any) -> "asyncio.Future[None]":
            await self._producer.send_batch(*batch, **where)
            acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            acknowledged.set_result(None)
            return acknowledged

    send = shared.messaging.publisher._send

    async def send_hastily(producer: Any, messages: Sequence[Outgoing]) -> None:
        await send(Hasty(producer), messages)

    patch.setattr(shared.messaging.publisher, "_send", send_hastily)


def skips_the_remembered_answer(patch: pytest.MonkeyPatch) -> None:
    """Decide a request that comes again as if it were the first time, and keep the first outcome in the record."""

    read = Transaction.remembered_and_claims

    async def claims_alone(
        self: Transaction, _: Collection[RequestKey], ids: Collection[UUID]
    ) -> tuple[dict[RequestKey, Remembered], dict[UUID, Claim]]:
        return await read(self, (), ids)

    patch.setattr(Transaction, "remembered_and_claims", claims_alone)
    _pass_over(patch, requests)


def skips_the_version_check(patch: pytest.MonkeyPatch) -> None:
    """Let what another instance has written since pass, instead of beginning again."""
    _pass_over(patch, requests, claim_numbers, claim_events, follow_ups)


def _pass_over(patch: pytest.MonkeyPatch, *tables: Table) -> None:
    """Write nothing where the key is there already."""
    new = {table: insert_of(table, qualified=True) for table in (requests, claim_numbers, claim_events, follow_ups)}
    new |= {table: new[table].on_conflict_do_nothing() for table in tables}
    save = in_one_statement(*new.values(), replacement_of(claims, qualified=True), result=MOVE)
    patch.setattr(services.claims.store, "_SAVE", save)


def skips_the_barrier(patch: pytest.MonkeyPatch) -> None:
    """Decide by what was read of `directory` before, however old that is."""

    async def nothing(_: DirectoryReader) -> None:
        return None

    patch.setattr(DirectoryReader, "catch_up_to_now", nothing)


def forgets_the_last_of_an_audience(patch: pytest.MonkeyPatch) -> None:
    """Have `claims` leave the last company out of every event's audience."""
    right = vars(Claim)["audience"]
    patch.setattr(Claim, "audience", property(lambda claim: right.fget(claim)[:-1]))


def forgets_the_last_recipient(patch: pytest.MonkeyPatch) -> None:
    """Have `delivery` leave the last company out."""

    def without_the_last(*message: Any) -> Letter:
        letter = addressed(*message)
        return Letter(letter.recipients[:-1] or letter.recipients, letter.key, letter.headers, letter.value)

    patch.setattr("services.delivery.app.addressed", without_the_last)


def leaves_late_reports_behind(patch: pytest.MonkeyPatch) -> None:
    """Have `claims` finish a link without what was reported meanwhile."""
    deciders = services.claims.link_rules._DECIDERS
    right = deciders[FinishLink]

    def without_them(*command: Any) -> Accepted:
        return replace(right.decide(*command), follow_ups=())

    wrong: dict[Any, Any] = {**deciders, FinishLink: replace(right, decide=without_them)}
    patch.setattr(services.claims.link_rules, "_DECIDERS", wrong)


def keeps_tasks_listed(patch: pytest.MonkeyPatch) -> None:
    """Have the portal leave the tasks in its lists that a claim no longer has."""
    deletions = services.portal.read_model._FOUND_NO_MORE
    none = {**deletions, open_tasks: deletions[open_tasks].where(open_tasks.c.office == "")}
    patch.setattr(services.portal.read_model, "_FOUND_NO_MORE", none)


def counts_what_has_ended_as_waiting(patch: pytest.MonkeyPatch) -> None:
    """Have `reporting` take every claim that was temporary for one that is so still."""
    patch.setattr("services.reporting.projection._ENDINGS", _Endless())


class _Endless(dict[type, None]):
    """No ending at all."""

    def __missing__(self, _: type) -> None:
        return None


def redacts_claims_alone(patch: pytest.MonkeyPatch) -> None:
    """Have `claims` leave a redacted claim's events and steps as they were."""

    async def nothing(_: Transaction, __: UUID) -> None:
        return None

    patch.setattr(Transaction, "_redact", nothing)


def forgets_the_steps_of_the_redacted(patch: pytest.MonkeyPatch) -> None:
    """Have `claims` leave the steps of links as they were."""
    patch.setattr(services.claims.store, "steps_with_content", lambda _: set())


def forgets_the_history_of_the_redacted(patch: pytest.MonkeyPatch) -> None:
    """Have the portal leave what happened to a redacted claim as it was."""

    async def nothing(_: Any, __: UUID) -> None:
        return None

    patch.setattr(services.portal.read_model, "_redact", nothing)


def forgets_the_files_of_the_redacted(patch: pytest.MonkeyPatch) -> None:
    """Have the portal go on giving out the files of a redacted claim."""
    patch.setattr(services.portal.media_store, "ClaimRedacted", _Never)


def goes_on_comparing_the_redacted(patch: pytest.MonkeyPatch) -> None:
    """Have `suggestions` keep who a redacted claim was about."""
    patch.setattr(services.suggestions.claim, "ClaimRedacted", _Never)


class _Never:
    """What no event is."""


def publishes_the_redacted_as_it_was(patch: pytest.MonkeyPatch) -> None:
    """Have `claims` publish a redacted claim again with something in it."""
    again = services.claims.messages._event_again

    def as_it_was(command: Any, event: StoredEvent, reader: str | None = None) -> Outgoing:
        return again(command, replace(event, body=event.body.replace(b"[redacted]", b"Anne Berg")), reader)

    patch.setattr(services.claims.messages, "_event_again", as_it_was)


def opens_a_moment_late(patch: pytest.MonkeyPatch) -> None:
    """Begin office hours behind their first moment: `opens < local time`."""
    rule = shared.domain.office_hours._rule

    def late(local: datetime, hours: Hours | None) -> DecisionRule:
        return rule(local - timedelta(microseconds=1), hours)

    patch.setattr(shared.domain.office_hours, "_rule", late)
