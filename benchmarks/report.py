"""How long closing a period takes for an insurer with a year of temporary claims, and how much memory.

    .venv/bin/python -m benchmarks.report [--claims 1000000] [--compare 100000]

Starts the embedded PostgreSQL in a temporary folder, migrates a reporting database, fills its tables with a generated
year by SQL (claims, tasks, corrected causes, undone links, refusals), runs ANALYZE, and then makes reports through the
same code as the service, in a process of its own whose memory is measured: that of the last week and month, of the
whole year as one period, and of all 52 weeks one after the other, which is what a rebuild makes. With `--compare` it
does the same for fewer claims, so that it can be seen what grows. Nothing of Kafka is in it: what reads the stream is
measured by `--events`, with events as claims publishes them, through decoding, projection and PostgreSQL.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import text

from operations.embedded import EmbeddedPostgres
from services.reporting.app import read_message
from services.reporting.closing import made
from services.reporting.kept_reports import MadeReport
from services.reporting.rules import Period
from services.reporting.store import Store
from shared.contract.events import ClaimConverted, ClaimEvent, Task, TaskReported, TemporaryClaimCreated
from shared.contract.events import Report as TaskReport
from shared.contract.fields import Actor, Address, Cause, Incident, Policyholder, TaskKind
from shared.contract.topics import CLAIM_EVENTS
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from shared.storage.migrations import migrate

INSURER = "fjord-forsikring"
BEGINS = datetime(2024, 12, 29, 23, tzinfo=UTC)
"""Monday of 2025-W01 in Oslo."""
YEAR = timedelta(weeks=52)

FILL = (
    """
    insert into claims
    select gen_random_uuid(), :insurer, 3, at, 'office-' || (n % 400),
        (array['water', 'fire', 'storm', 'flood', 'landslide', 'burglary', 'glass', 'other'])[1 + n % 8], n % 10 < 2,
        case when n % 20 < 12 then 'converted' when n % 20 < 18 then 'linked' when n % 20 = 18 then 'cancelled' end,
        case when n % 20 < 19 then at + (n % 977) * interval '7 minutes' end
    from (select n, (:begins)::timestamptz + (n::float8 / :claims) * interval '364 days' as at
        from generate_series(0, :claims - 1) n) numbered
    """,
    """
    insert into tasks
    select gen_random_uuid(), claim_id, insurer, created_at + k * interval '3 hours',
        case when k = 0 then created_at + interval '5 hours' end
    from claims, generate_series(0, 1) k where created_at is not null
    """,
    """
    insert into amended_causes
    select claim_id, 2, insurer, 'water', created_at + interval '1 hour' from claims where office like 'office-%7'
    """,
    """
    insert into undone_links
    select claim_id, 3, insurer, created_at + interval '1 hour', created_at + interval '9 days'
    from claims where office like 'office-%33'
    """,
    """
    insert into refusals
    select 'vest-skadeservice', 'r-' || n, :insurer, (:begins)::timestamptz + (n * 5.0 / :claims) * interval '364 days',
        (array['inside_office_hours', 'never_permitted', 'invalid_request'])[1 + n % 3]
    from generate_series(0, :claims / 5 - 1) n
    """,
    "insert into projection (incomplete) values (false)",
    "analyze",
)


def main() -> None:
    """Run it, and print one JSON document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--claims", type=int, default=1_000_000)
    options.add_argument("--compare", type=int, default=100_000, help="the smaller year; 0 leaves it out")
    options.add_argument("--events", type=int, default=60_000, help="events to project; 0 leaves it out")
    arguments = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="claimbus-benchmark-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        years = [in_a_process(year, database(postgres), n) for n in (arguments.compare, arguments.claims) if n]
        stream = in_a_process(projection, database(postgres), arguments.events) if arguments.events else None
        print(json.dumps({"years": years, "projection": stream}, indent=2))
    finally:
        postgres.stop()
        shutil.rmtree(folder)


def database(postgres: EmbeddedPostgres) -> str:
    """Make an empty database; return its address."""
    name = f"reporting_{uuid4().hex[:8]}"
    postgres.create_database(name, owner=name, password="a-word")
    return postgres.url(name, name, "a-word")


def in_a_process(measure: Any, url: str, count: int) -> Any:
    """Measure in a new process, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (measure, url, count))


def run(measure: Any, url: str, count: int) -> Any:
    """Measure in this process."""
    return asyncio.run(measure(url, count))


async def year(url: str, claims: int) -> dict[str, Any]:
    """Fill a year and close periods of it."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
    await migrate(engine, "services.reporting")
    began = time.perf_counter()
    async with Store(engine).transaction(unlimited=True) as transaction:
        for statement in FILL:
            about = {"insurer": INSURER, "claims": claims, "begins": BEGINS}
            await transaction.connection.execute(
                text(statement),
                {name: value for name, value in about.items() if f":{name}" in statement.replace("::", "")},
            )
    filled_s = time.perf_counter() - began
    before = resident_mib()
    week = timedelta(weeks=1)
    found: dict[str, Any] = {"claims": claims, "filled_s": round(filled_s, 1)}
    for name, begins, ends in (
        ("last_week_s", BEGINS + YEAR - week, BEGINS + YEAR),
        ("last_month_s", BEGINS + YEAR - timedelta(days=31), BEGINS + YEAR),
        ("whole_year_s", BEGINS, BEGINS + YEAR),
    ):
        found[name] = await close(Store(engine), [Period(name, begins, ends, "Europe/Oslo", short=False)])
    weeks = [
        Period(f"w-{n}", BEGINS + n * week, BEGINS + (n + 1) * week, "Europe/Oslo", short=False) for n in range(52)
    ]
    found["all_52_weeks_s"] = await close(Store(engine), weeks)
    found["resident_mib_before"], found["resident_mib_at_most"] = before, resident_mib()
    await engine.dispose()
    return found


async def close(store: Store, periods: list[Period]) -> float:
    """Make and keep the reports of periods, as the service does; return the seconds."""
    began = time.perf_counter()
    last: MadeReport | None = None
    for period in periods:
        async with store.transaction(unlimited=True) as transaction:
            assert await transaction.reports.lock_closing()
            message = await made(transaction, INSURER, period, last, {}, datetime.now(UTC))
            last = MadeReport(period, message)
            await transaction.reports.keep(last)
    async with store.transaction() as transaction:  # the next list has the same moments
        await transaction.connection.execute(text("delete from reports"))
    return round(time.perf_counter() - began, 2)


async def projection(url: str, count: int) -> dict[str, Any]:
    """Read events as the service does, in batches of 500; return how many each second."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
    await migrate(engine, "services.reporting")
    store = Store(engine)
    async with store.transaction() as transaction:
        await transaction.completeness.set_incomplete(False)
    records = [record(event) for n in range(count // 3) for event in events(n)]
    began = time.perf_counter()
    for first in range(0, len(records), 500):
        messages = [read_message(one) for one in records[first : first + 500]]
        batch = [message for message in messages if isinstance(message, ClaimEvent)]
        async with store.transaction() as transaction:
            changes = await transaction.counted.changes_to({event.claim_id for event in batch})
            changes.apply(batch)
            await transaction.counted.save(changes, ())
    seconds = time.perf_counter() - began
    await engine.dispose()
    return {"events": len(records), "events_per_s": round(len(records) / seconds)}


class record:  # noqa: N801 - a record as Kafka hands it out
    """A record of `claim-events`."""

    topic, partition, offset, timestamp, timestamp_type = CLAIM_EVENTS.name, 0, 0, 0, 1

    def __init__(self, event: ClaimEvent) -> None:
        self.key: bytes | None = str(event.claim_id).encode()
        self.value: bytes | None = event.json_bytes()
        self.headers: Sequence[tuple[str, bytes]] = [
            ("ce_id", f"{event.claim_id}/{event.version}".encode()),
            ("ce_type", event.type().encode()),
            ("ce_source", b"/claimbus/claims"),
        ]


def events(n: int) -> list[ClaimEvent]:
    """Make the three events of a claim: created with a task, reported on, converted."""
    claim, task, at = uuid4(), uuid4(), BEGINS + n * timedelta(seconds=30)

    def says(version: int) -> dict[str, Any]:
        actor = Actor(company="vest-skadeservice")
        audience = [INSURER, "vest-skadeservice"]
        return {
            "claim_id": claim,
            "version": version,
            "insurer": INSURER,
            "at": at,
            "actor": actor,
            "audience": audience,
        }

    address = Address(street="Strandgata 1", postal_code="5004", city="Bergen")
    created = TemporaryClaimCreated(
        **says(1),
        claim_number=f"Midlertidig {n}",
        company="vest-skadeservice",
        office=f"office-{n % 400}",
        incident=Incident(date=at.date(), cause=Cause.WATER, address=address, description="Vann i kjelleren. " * 10),
        policyholder=Policyholder(name="Anne Berg", phone="+4791234567"),
        tasks=[Task(task_id=task, kind=TaskKind.FIRST_AID, office="o", company="c", needs_budget=False)],
        inside_office_hours=False,
        time_zone="Europe/Oslo",
    )
    reported = TaskReported(**says(2), task_id=task, report=TaskReport(report_id=uuid4(), text="Tørket."))
    return [
        created,
        reported,
        ClaimConverted(**says(3), claim_number=str(n), previous_claim_number="M", handler="kari"),
    ]


def resident_mib() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
