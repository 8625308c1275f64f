"""`claimbus rebuild`: throw a read model away and make it again from the record of claims, while all else goes on."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from pydantic import SecretStr
from rich.progress import Progress as ProgressBar
from rich.status import Status

from operations.bus import Company, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.report import reporting_database
from services.claims.store import Recorded, recorded_claims
from services.reporting.progress import Progress, Waiting
from services.reporting.store import Store
from shared.contract.topics import OPERATOR
from shared.runtime.database import DatabaseAway, engine_for
from shared.runtime.settings import DatabaseSettings, KafkaSettings

_LOOK_EVERY_S = 0.2
_OUTCOMES_S = 120.0
_STANDSTILL_S = 120.0
_AGAIN = "until it is run again to its end, no report is made"


class NotRebuilt(Exception):
    """It was begun and did not come to its end."""


class ReadModel(StrEnum):
    """What can be made again."""

    REPORTING = "reporting"


def rebuild(
    read_model: Annotated[ReadModel, typer.Argument(help="Which read model.")],
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Empty a read model and have every claim sent to it again; reports that are made stay as they are."""
    try:
        connection = load_connection(connection_file)
        sent = asyncio.run(rebuild_reporting(connection))
    except Unreachable as error:
        fail(error)
    except (NotRebuilt, NoAnswer) as error:
        fail(f"{error}; {_AGAIN}")
    except (OSError, TimeoutError, DatabaseAway):
        fail(f"a database or the bus does not answer; if it was begun, {_AGAIN}")
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}; {_AGAIN}")
    if as_json:
        print_json({"read_model": read_model, "claims": sent.claims, "refused_requests": sent.refused})
        return
    out.print(f"{read_model} is made again from {sent.claims} claims and {sent.refused} refused requests", markup=False)


class Sent:
    """How much was sent again."""

    claims = 0
    refused = 0


async def rebuild_reporting(connection: Connection) -> Sent:
    """Make what reports are counted from again. Raises Unreachable, NotRebuilt, NoAnswer, DatabaseAway."""
    claims_database = connection.databases.get("claims")
    if claims_database is None:
        raise Unreachable("the connection does not say where the claims database is (databases.claims)")
    engine = engine_for(DatabaseSettings(database_url=SecretStr(reporting_database(connection))))
    rebuild = str(uuid.uuid4())
    store = Store(engine)
    try:
        with Company(connection, OPERATOR) as operator:
            async with store.transaction(unlimited=True) as transaction:
                await transaction.begin_rebuild(rebuild)
            sent = await _send_all_again(operator, recorded_claims(claims_database), rebuild)
        await _until_read(connection)
        async with store.transaction() as transaction:
            if not await transaction.end_rebuild(rebuild):
                raise NotRebuilt("another rebuild was begun meanwhile")
    finally:
        await engine.dispose()
    return sent


async def _send_all_again(operator: Company, recorded: AsyncIterator[list[Recorded]], rebuild: str) -> Sent:
    sent = Sent()
    with ProgressBar(console=err, transient=True) as bar:
        task = bar.add_task("sent again", total=None)
        async for claims in recorded:
            requests = [_republish(claim, f"{rebuild}-{claim.claim_id}") for claim in claims]
            outcomes = await asyncio.to_thread(operator.ask, *requests, timeout_s=_OUTCOMES_S)
            refused = [outcome for outcome in outcomes if not outcome.accepted]
            if refused:
                raise NotRebuilt(f"{len(refused)} claims were not sent again: {refused[0].body['code']}")
            operator.received.clear()
            sent.refused += sum(claim.refused is not None for claim in claims)
            sent.claims += sum(claim.refused is None for claim in claims)
            bar.advance(task, len(claims))
    return sent


def _republish(claim: Recorded, id: str) -> NewRequest:
    body: dict[str, object] = {"claim_id": str(claim.claim_id), "reader": ReadModel.REPORTING}
    if claim.refused is not None:
        company, request_id = claim.refused
        body["refused"] = {"company": company, "request_id": request_id}
    return NewRequest("republish-claim", body, id=id)


async def _until_read(connection: Connection) -> None:
    """Wait until reporting has read all that was sent again."""
    client = connection.client()
    progress = Progress(
        KafkaSettings(
            bootstrap_servers=connection.bootstrap_servers,
            security_protocol=connection.security_protocol,
            sasl_mechanism=connection.sasl_mechanism,
            ssl_ca_file=connection.ssl_ca_file,
            username=OPERATOR,
            password=SecretStr(str(client["sasl.password"])),
        )
    )
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
        status.update(str(waiting))
        await asyncio.sleep(_LOOK_EVERY_S)
