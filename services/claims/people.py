"""Finding the claims of a person in the record, for `claimbus forget`: as they are, and as they were written before."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import ColumnElement, and_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.claims.claim import Claim
from services.claims.claim_numbers import number_keys
from services.claims.store import Transaction
from services.claims.tables import claim_events, claim_numbers, claims
from shared.contract.events import ClaimEvent
from shared.contract.fields import Message, Policyholder
from shared.contract.texts import composed, folded
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction

_LONGEST_COUNTRY_CODE = 3
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Person:
    """A policyholder who is looked for: by all that is given of the three."""

    name: str | None = None
    """Words of it, without regard to case and order."""
    phone: str | None = None
    """With the country code, or as it is dialled in its country."""
    email: str | None = None

    def fits(self, policyholder: Policyholder) -> bool:
        """Whether a policyholder is the one who is looked for."""
        return (
            (self.phone is None or _is_number(policyholder.phone.removeprefix("+"), _digits(self.phone)))
            and (self.email is None or folded(policyholder.email or "") == folded(self.email.strip()))
            and (self.name is None or {*folded(self.name).split()} <= {*folded(policyholder.name).split()})
        )


@dataclass(frozen=True, slots=True)
class FoundClaim:
    """A claim with all that happened to it."""

    claim: Claim
    history: list[ClaimEvent]


async def claims_called(database_url: str, name: str, insurer: str | None) -> list[FoundClaim]:
    """Find claims by their id or by a number that they have or had. Raises DatabaseAway."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            keys = {number for _, number in number_keys("", name)}
            query = select(claim_numbers.c.claim_id).where(claim_numbers.c.claim_number.in_(keys)).distinct()
            if insurer is not None:
                query = query.where(claim_numbers.c.insurer == insurer)
            ids = {*await connection.scalars(query), *_id(name)}
            found = [await _claim(connection, id) for id in sorted(ids)]
    finally:
        await engine.dispose()
    return [each for each in found if each is not None and insurer in (None, each.claim.insurer)]


async def claims_of(database_url: str, person: Person, insurer: str | None) -> list[FoundClaim]:
    """Find the claims whose policyholder somebody is, or was before it was corrected; reads all events.

    Raises DatabaseAway.
    """
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            for limit in ("idle_in_transaction_session_timeout", "transaction_timeout"):
                await connection.execute(text(f"set local {limit} = 0"))
            query = select(claim_events.c.claim_id).where(_may_tell_of(person)).distinct()
            if insurer is not None:
                query = query.join(claims, claims.c.id == claim_events.c.claim_id).where(claims.c.insurer == insurer)
            ids = list(await connection.scalars(query.order_by(claim_events.c.claim_id)))
            found = [await _claim(connection, id) for id in ids]
    finally:
        await engine.dispose()
    return [each for each in found if each is not None and any(person.fits(p) for p in policyholders(each.history))]


def policyholders(history: list[ClaimEvent]) -> Iterator[Policyholder]:
    """Yield everybody who is or was a claim's policyholder, as often as an event tells of them."""
    for event in history:
        yield from _policyholders(event)


def _policyholders(value: Any) -> Iterator[Policyholder]:
    if isinstance(value, Policyholder):
        yield value
    elif isinstance(value, Message):
        for _, part in value:
            yield from _policyholders(part)


def _may_tell_of(person: Person) -> ColumnElement[bool]:
    """Narrow events down to those with the texts; which field they are in is looked at afterwards."""
    texts = (person.name or "").split()
    texts += [person.email.strip()] if person.email else []
    texts += [_digits(person.phone)] if person.phone else []
    return and_(*(claim_events.c.event.ilike(_pattern(each), escape="\\") for each in texts))


def _pattern(written: str) -> str:
    """Write a text as LIKE looks for it within JSON; letters that a database may not fold stand for any."""
    in_json = json.dumps(composed(written), ensure_ascii=False)[1:-1]
    return "%" + _NOT_ASCII.sub("_", re.sub(r"([\\%_])", r"\\\1", in_json)) + "%"


async def _claim(connection: AsyncConnection, id: UUID) -> FoundClaim | None:
    record = Transaction(connection)
    claim = (await record.claims([id])).get(id)
    return None if claim is None else FoundClaim(claim, (await record.histories([id]))[id])


def _digits(phone: str) -> str:
    """What was typed, without what is dialled before a number."""
    return re.sub(r"\D", "", phone).lstrip("0")


def _is_number(number: str, digits: str) -> bool:
    """Whether it is a number, with its country code or without."""
    return number.endswith(digits) and len(number) - len(digits) <= _LONGEST_COUNTRY_CODE


def _id(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []
