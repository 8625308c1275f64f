"""`claimbus rebuild`: throw a read model away and make it again from the record of claims, while all else goes on."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import SecretStr
from rich.progress import Progress as ProgressBar
from rich.status import Status

from operations.bus import Company, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, plain, print_json
from services.claims.inventory import Recorded, recorded_claims
from services.portal import store as portal_store
from services.reporting.progress import Progress, Waiting
from services.reporting.store import Store
from services.suggestions import store as suggestions_store
from shared.contract.topics import CLAIM_EVENTS, OPERATOR, ReadModel
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import DatabaseAway, engine_for

_LOOK_EVERY_S = 0.2
_OUTCOMES_S = 120.0
_STANDSTILL_S = 120.0
_KAFKA_S = 15.0


class NotRebuilt(Exception):
    """A rebuild was begun and did not finish."""


_MISSING = {
    ReadModel.REPORTING: "no report is made",
    ReadModel.SUGGESTIONS: "some claims have no suggestions",
    ReadModel.PORTAL: "some claims are not in the portal",
}
"""What is wrong until a rebuild has finished."""


def rebuild(
    read_model: Annotated[ReadModel, typer.Argument(help="Which read model.")],
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Empty a read model and have every claim sent to it again; reports that are made stay as they are."""
    until_run_again = f"until it is run again to its end, {_MISSING[read_model]}"
    try:
        connection = load_connection(connection_file)
        sent = asyncio.run(_AGAIN[read_model](connection))
    except Unreachable as error:
        fail(error)
    except (NotRebuilt, NoAnswer) as error:
        fail(f"{error}; {until_run_again}")
    except (OSError, TimeoutError, DatabaseAway):
        fail(f"a database or the bus does not answer; if it was begun, {until_run_again}")
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}; {until_run_again}")
    if as_json:
        print_json({"read_model": read_model, "claims": sent.claims, "refused_requests": sent.refused})
        return
    refused = f" and {sent.refused} refused requests" if read_model is ReadModel.REPORTING else ""
    out.print(f"{read_model} is made again from {sent.claims} claims{refused}")


@dataclass
class Sent:
    """How much was sent again."""

    claims: int = 0
    refused: int = 0


async def rebuild_reporting(connection: Connection) -> Sent:
    """Make what reports are counted from again. Raises Unreachable, NotRebuilt, NoAnswer, DatabaseAway."""
    claims_database = connection.database("claims")
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database("reporting"))))
    rebuild = str(uuid.uuid4())
    store = Store(engine)
    try:
        with Company(connection, OPERATOR) as operator:
            async with store.transaction(unlimited=True) as transaction:
                await transaction.completeness.begin_rebuild(rebuild)
            sent = await _send_all_again(operator, recorded_claims(claims_database), rebuild, ReadModel.REPORTING)
        await _until_read(connection)
        async with store.transaction() as transaction:
            if not await transaction.completeness.end_rebuild(rebuild):
                raise NotRebuilt("another rebuild was begun meanwhile")
    finally:
        await engine.dispose()
    return sent


async def rebuild_suggestions(connection: Connection) -> Sent:
    """Make what suggestions knows of claims again. Raises Unreachable, NotRebuilt, NoAnswer, DatabaseAway."""
    return await _rebuild_claims(connection, ReadModel.SUGGESTIONS, suggestions_store.forget_claims)


async def rebuild_portal(connection: Connection) -> Sent:
    """Make what pages show of claims again. Raises Unreachable, NotRebuilt, NoAnswer, DatabaseAway."""
    return await _rebuild_claims(connection, ReadModel.PORTAL, portal_store.forget_claims)


_AGAIN = {
    ReadModel.REPORTING: rebuild_reporting,
    ReadModel.SUGGESTIONS: rebuild_suggestions,
    ReadModel.PORTAL: rebuild_portal,
}


async def _rebuild_claims(
    connection: Connection, reader: ReadModel, forget_claims: Callable[[str], Awaitable[None]]
) -> Sent:
    claims_database = connection.database("claims")
    database = connection.database(reader)
    claims_only = ([c for c in some if c.refused is None] async for some in recorded_claims(claims_database))
    with Company(connection, OPERATOR) as operator:
        await forget_claims(database)
        sent = await _send_all_again(operator, claims_only, str(uuid.uuid4()), reader)
    await asyncio.to_thread(_until_events_are_read, connection, reader)
    return sent


async def _send_all_again(
    operator: Company, recorded: AsyncIterator[list[Recorded]], rebuild: str, reader: ReadModel
) -> Sent:
    sent = Sent()
    with ProgressBar(console=err, transient=True) as bar:
        task = bar.add_task("sent again", total=None)
        async for claims in recorded:
            requests = [_republish(claim, f"{rebuild}-{claim.claim_id}", reader) for claim in claims]
            outcomes = await asyncio.to_thread(operator.ask, *requests, timeout_s=_OUTCOMES_S)
            refused = [outcome for outcome in outcomes if not outcome.accepted]
            if refused:
                raise NotRebuilt(f"{len(refused)} claims were not sent again: {refused[0].body['code']}")
            operator.received.clear()
            sent.refused += sum(claim.refused is not None for claim in claims)
            sent.claims += sum(claim.refused is None for claim in claims)
            bar.advance(task, len(claims))
    return sent


def _republish(claim: Recorded, id: str, reader: ReadModel) -> NewRequest:
    body: dict[str, object] = {"claim_id": str(claim.claim_id), "reader": reader}
    if claim.refused is not None:
        company, request_id = claim.refused
        body["refused"] = {"company": company, "request_id": request_id}
    return NewRequest("republish-claim", body, id=id)


def _until_events_are_read(connection: Connection, reader: ReadModel) -> None:
    """Wait until a service has read all events that there are now. Raises NotRebuilt when it stands still."""
    group = Consumer(connection.client() | {"group.id": reader, "enable.auto.commit": False})
    try:
        partitions = [TopicPartition(CLAIM_EVENTS.name, number) for number in range(CLAIM_EVENTS.partitions)]
        ends = [group.get_watermark_offsets(partition, timeout=_KAFKA_S)[1] for partition in partitions]
        last, changed = -1, time.monotonic()
        with err.status(plain(f"{reader} reads")) as status:
            while left := sum(
                max(0, end - max(0, at.offset))
                for end, at in zip(ends, group.committed(partitions, timeout=_KAFKA_S), strict=True)
            ):
                if left != last:
                    last, changed = left, time.monotonic()
                if time.monotonic() - changed > _STANDSTILL_S:
                    raise NotRebuilt(f"{reader} does not read: {left} events wait for it")
                status.update(plain(f"{reader} reads: {left} events left"))
                time.sleep(_LOOK_EVERY_S)
    finally:
        group.close()


async def _until_read(connection: Connection) -> None:
    """Wait until reporting has read all that was sent again."""
    progress = Progress(connection.settings())
    try:
        with err.status("reporting reads") as status:
            await _follow(progress, status)
    finally:
        await progress.stop()


async def _follow(progress: Progress, status: Status) -> None:
    last, changed = None, time.monotonic()
    while isinstance(waiting := await progress.passed(None), Waiting):
        if waiting != last:
            last, changed = waiting, time.monotonic()
        if time.monotonic() - changed > _STANDSTILL_S:
            raise NotRebuilt(f"nothing moves: {waiting}")
        status.update(plain(str(waiting)))
        await asyncio.sleep(_LOOK_EVERY_S)
