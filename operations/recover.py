"""`claimbus recover`: have the record of claims take in again what its database has lost."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import SecretStr
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.connection import Connection, Unreachable, load_connection
from operations.groups import Groups
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from operations.progress import progress_bar
from services.claims.tables import positions, recoveries
from shared.contract.topics import CLAIM_COMMANDS
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import DatabaseAway, engine_for, transaction
from shared.storage.positions import BEFORE_POSITIONS

_LOOK_EVERY_S = 0.2
_STANDSTILL_S = 120.0
_KAFKA_S = 15.0


class Recoverable(StrEnum):
    """The services that can recover; read models are rebuilt."""

    CLAIMS = "claims"


class NotRecovered(Exception):
    """What was lost is not there again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """How many messages the record has lost the outcome of, and how many of these the brokers have deleted."""

    messages: int
    deleted: int


def recover(
    service: Annotated[Recoverable, typer.Argument(help="Whose database.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it has lost.")] = False,
    without_deleted: Annotated[
        bool, typer.Option("--without-deleted", help="Go on although some of it is no longer on the topic.")
    ] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Have claims take in again what its database has lost, after an older one was restored; claims must be running."""
    try:
        lost = asyncio.run(_recover(load_connection(connection_file), dry_run, without_deleted))
    except (Unreachable, NotRecovered) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    except (OSError, TimeoutError, DatabaseAway):
        fail(f"the database of {service} does not answer")
    if as_json:
        print_json(asdict(lost))
        return
    if not lost.messages:
        out.print(f"{service} has lost nothing")
        return
    deleted = f", {lost.deleted} of which are no longer on the topic" if lost.deleted else ""
    done = "has lost" if dry_run else "has again"
    out.print(f"{service} {done} what came of {lost.messages} messages{deleted}")


async def _recover(connection: Connection, dry_run: bool, without_deleted: bool) -> Lost:
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database("claims"))))
    try:
        committed, first = await asyncio.to_thread(_offsets, connection)
        behind = _behind(await _positions(engine), committed)
        lost = Lost(
            sum(committed[n] - at for n, at in behind.items()),
            sum(max(0, min(first[n], committed[n]) - at) for n, at in behind.items()),
        )
        if not behind or dry_run:
            return lost
        if lost.deleted and not without_deleted:
            raise NotRecovered(
                f"of {lost.messages} messages whose outcome claims has lost, {lost.deleted} are no longer on "
                f"{CLAIM_COMMANDS.name}: what came of them cannot be decided again. Restore a newer database, or go on "
                "with what is left (--without-deleted)"
            )
        async with transaction(engine) as database:
            await database.execute(insert(recoveries).values(allowed_at=datetime.now(UTC)))
        await _until_recovered(engine, committed, lost.messages)
        return lost
    finally:
        await engine.dispose()


def _offsets(connection: Connection) -> tuple[dict[int, int], dict[int, int]]:
    """By partition, where claims has committed, and the first offset that is left."""
    with Groups(connection) as groups:
        partitions = [(CLAIM_COMMANDS.name, n) for n in range(CLAIM_COMMANDS.partitions)]
        committed = {n: offset for (_, n), offset in groups.committed("claims", partitions).items()}
    reader = Consumer(connection.client() | {"group.id": "claims", "enable.auto.commit": False})
    try:
        first = {
            n: reader.get_watermark_offsets(TopicPartition(CLAIM_COMMANDS.name, n), timeout=_KAFKA_S)[0]
            for n in committed
        }
    finally:
        reader.close()
    return committed, first


async def _positions(engine: AsyncEngine) -> dict[str | int, int]:
    async with transaction(engine) as database:
        rows = (await database.execute(select(positions))).all()
    return {BEFORE_POSITIONS if row.topic == BEFORE_POSITIONS else row.partition: row.next_offset for row in rows}


def _behind(kept: Mapping[str | int, int], committed: Mapping[int, int]) -> dict[int, int]:
    """The partitions of which something is lost, with how far the database has come."""
    is_older_than_positions = BEFORE_POSITIONS in kept
    came = {n: kept.get(n, offset if is_older_than_positions else 0) for n, offset in committed.items()}
    return {n: at for n, at in came.items() if at < committed[n]}


async def _until_recovered(engine: AsyncEngine, wanted: Mapping[int, int], messages: int) -> None:
    """Wait until the database has come so far. Raises NotRecovered when claims stands still."""
    with progress_bar() as bar:
        task = bar.add_task("decided again", total=messages)
        last, changed = -1, time.monotonic()
        while behind := _behind(await _positions(engine), wanted):
            left = sum(wanted[n] - at for n, at in behind.items())
            if left != last:
                last, changed = left, time.monotonic()
            if time.monotonic() - changed > _STANDSTILL_S:
                raise NotRecovered(f"claims does not get on, {left} messages are left: is it running? See its log")
            bar.update(task, completed=messages - left)
            await asyncio.sleep(_LOOK_EVERY_S)
