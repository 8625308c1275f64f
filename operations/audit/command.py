"""`claimbus audit`: hold everything on the topics and in the tables against each other, beside what runs."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from rich.progress import Progress

from operations.audit.media import MEDIA, REMOVED, check_media
from operations.audit.tables import (
    reading,
    rows_of,
    spool_histories,
    spool_numbers,
    spool_read_model,
    spool_requests,
)
from operations.audit.topics import reach_of, read_directory, requests_of, spool_directory, spool_topics
from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, fail, out, print_json, sentence_of
from operations.progress import progress_bar
from services.claims.tables import claim_numbers, claims, requests
from services.permissions.directory_rules import settle
from shared.audit.directory import Entry, check_directory
from shared.audit.invariants import BIT
from shared.audit.spool import Spool
from shared.audit.violations import INVARIANTS, MOST_KEPT, Tally, checks
from shared.contract.topics import ReadModel
from shared.errors import Misconfigured
from shared.storage.database import DatabaseAway
from shared.storage.media_store import StoreAway

_MOST_PRINTED = 20
"""Of the violations of an invariant."""


@dataclass(slots=True)
class Audit:
    """What an audit has read and found."""

    read: dict[str, int] = field(default_factory=dict)
    """By kind, how many."""
    under_way: dict[str, int] = field(default_factory=dict)
    """What the services had not dealt with when it began, so that nothing is expected of it."""
    only_in_tables: dict[str, int] = field(default_factory=dict)
    """What the topics no longer keep, so that it was held against the tables alone."""
    not_checked: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    """The invariants by name."""
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """Write it as JSON."""
        kept = [{"invariant": v.invariant, "about": v.about, "sentence": v.sentence} for v in self.tally.kept]
        return {
            "read": self.read,
            "under_way": self.under_way,
            "only_in_tables": self.only_in_tables,
            "not_checked": self.not_checked,
            "invariants": {name: self.tally.counts[name] for name in self.checked},
            "violations": kept,
            "seconds": round(self.seconds, 1),
        }


Media = Annotated[
    bool, typer.Option("--media", help="Also read every file of a report from the store, and compare its SHA-256.")
]


def audit(connection_file: ConnectionFile = None, as_json: AsJson = False, media: Media = False) -> None:
    """Check that what is on the topics and in the tables agrees, beside what runs. Status 1 if anything is wrong."""
    try:
        found = run_audit(load_connection(connection_file), media=media)
    except Unreachable as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    except Misconfigured as error:
        fail(error)
    except StoreAway as error:
        fail(f"the store of media does not answer: {error}")
    except sqlite3.Error as error:
        fail(f"its temporary file cannot be kept under {tempfile.gettempdir()}: {error}")
    except (DatabaseAway, OSError, TimeoutError) as error:
        fail(f"a database does not answer: {sentence_of(error)}")
    if as_json:
        print_json(found.document())
    else:
        print_audit(found)
    if found.tally.counts:
        raise typer.Exit(1)


def run_audit(connection: Connection, *, media: bool = False) -> Audit:
    """Read everything and hold it against each other. Raises Unreachable, KafkaException, DatabaseAway, OSError."""
    began = time.monotonic()
    found = Audit()
    with tempfile.TemporaryDirectory(prefix="claimbus-audit-") as folder, progress_bar() as progress:
        spool = Spool(Path(folder) / "spool.sqlite")
        try:
            connection.database("claims")
            entries = _read_topics(connection, spool, progress)
            asyncio.run(read_tables(connection, spool, found, progress))
            check_all(spool, entries, found, progress)
            _count(spool, found)
            found.read["directory"] = len(entries)
            found.checked = [name for name in INVARIANTS if media or name not in (MEDIA, REMOVED)]
            if media:
                files = progress.add_task("files", total=spool.counts["media"])
                asyncio.run(check_media(connection, spool, found.tally, lambda n: progress.advance(files, n)))
            else:
                found.not_checked.append("the bytes of files: --media reads them all")
        finally:
            spool.close()
    found.seconds = time.monotonic() - began
    return found


def check_all(spool: Spool, entries: list[Entry], found: Audit, progress: Progress) -> None:
    """Hold all that was laid down against each other; `entries` are those of `directory`."""
    indexing = progress.add_task("sorting", total=None)
    spool.index()
    progress.remove_task(indexing)
    found.tally.add(check_directory(entries, requests_of(spool), settle))
    to_check = checks()
    checking = progress.add_task("checking", total=len(to_check))
    for check in to_check.values():
        found.tally.add(check(spool))
        progress.advance(checking)


def _read_topics(connection: Connection, spool: Spool, progress: Progress) -> list[Entry]:
    reach = reach_of(connection)
    entries = read_directory(connection)
    directory = spool_directory(spool, entries)
    bar = progress.add_task("messages", total=reach.records)
    spool_topics(connection, reach, spool, directory, lambda n: progress.advance(bar, n))
    progress.remove_task(bar)
    return entries


async def read_tables(connection: Connection, spool: Spool, found: Audit, progress: Progress) -> None:
    """Read the tables: what is made of others first, so that nothing is ahead of what it is held against."""
    for reader in ReadModel:
        if reader in connection.databases:
            await spool_read_model(connection, reader, spool, found.tally)
        else:
            found.not_checked.append(f"claims of {reader}: the connection does not say where its database is")
    spool.index_early("read_models", "read_apart")
    async with reading(connection, "claims") as engine:
        bar = progress.add_task("rows", total=await rows_of(engine, claims, requests, claim_numbers))
        advance: Callable[[int], None] = lambda n: progress.advance(bar, n)  # noqa: E731 - a callback
        await spool_histories(engine, spool, found.tally, advance)
        await spool_requests(engine, spool, advance)
        await spool_numbers(engine, spool, advance)
        progress.remove_task(bar)


_READ = {
    "requests": "requests",
    "commands": "commands",
    "outcomes": "outcomes",
    "events": "events",
    "received by companies": "copies",
    "outcomes received": "outcome_copies",
    "dead letters": "letters",
    "unreadable": "unreadable",
    "requests of the record": "recorded_requests",
    "events of the record": "recorded_events",
    "claims of read models": "read_models",
}


def _count(spool: Spool, found: Audit) -> None:
    found.read = {name: spool.counts[table] for name, table in _READ.items()}
    found.read["claims of the record"] = spool.count("select count(distinct claim) from recorded_events")
    for name, table, reader in (
        ("requests", "requests", "permissions"),
        ("commands", "commands", "claims"),
        ("outcomes", "outcomes", "delivery"),
        ("events", "events", "delivery"),
        ("parts of links", "link_requests", "linking"),
    ):
        sql = f"select count(*) from {table} where not passed & :bit"  # noqa: S608 - our own names
        found.under_way[f"{name} that {reader} has not finished"] = spool.count(sql, {"bit": BIT[reader]})
    for name, table, column, topic in (
        ("requests", "recorded_requests", "requested_at", "request-outcomes"),
        ("events", "recorded_events", "at", "claim-events"),
    ):
        sql = f"select count(*) from {table} where {column} < since(:topic)"  # noqa: S608 - our own names
        found.only_in_tables[name] = spool.count(sql, {"topic": topic})


def print_audit(found: Audit) -> None:
    """Print what was found for a person."""
    for name, count in found.read.items():
        out.print(f"{name:>24}: {count}")
    waiting = {name: count for name, count in found.under_way.items() if count}
    for name, count in waiting.items():
        out.print(f"under way, so nothing is expected of it yet: {count} {name}")
    for name, count in found.only_in_tables.items():
        if count:
            out.print(f"older than the topics keep, so checked among the tables alone: {count} {name}")
    for sentence in found.not_checked:
        out.print(f"not checked: {sentence}")
    for invariant, count in sorted(found.tally.counts.items()):
        out.print(f"{invariant}, broken {count} times: {INVARIANTS[invariant]}", style="red")
        kept = (violation for violation in found.tally.kept if violation.invariant == invariant)
        for violation in islice(kept, _MOST_PRINTED):
            out.print(f"    {violation.about}: {violation.sentence}", markup=False)
        if count > _MOST_PRINTED:
            out.print(f"    and {count - _MOST_PRINTED} more; --json has up to {MOST_KEPT}")
    if not found.tally.counts:
        out.print(f"all {len(found.checked)} invariants hold", style="green")
    out.print(f"in {found.seconds:.1f} s")
