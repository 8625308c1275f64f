"""How long the claims list takes with any filter, with few claims and with many.

    .venv/bin/python -m benchmarks.portal [--claims 1000000] [--compare 10000] [--requests 1000]

Starts the embedded PostgreSQL in a temporary folder, migrates a portal database and fills its tables `listing` and
`office_listing` by SQL: each claim once for its insurer and once for its partner, three years of them, with 2 %
temporary and a quarter at two offices of the partner. Then it asks the portal's own application for pages as a browser
would, without a network between: session, filter, queries, template, compression. Filters are drawn at random from a
fixed seed, the same for both sizes: any combination of state, cause, office, days and text, both days and both orders,
first pages and those that follow. Nothing of Kafka is in it.
"""

import argparse
import asyncio
import json
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.embedded import EmbeddedPostgres
from services.portal.directory_follower import DirectoryFollower
from services.portal.live import Live
from services.portal.media_store import MediaTables
from services.portal.pages.routes import routes
from services.portal.request_sender import RequestSender
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads, UploadSettings
from services.portal.visit import Portal
from services.portal.web import web_app
from shared.contract.directory_events import CompanyRegistered, DirectoryEvent, OfficeRegistered, UserRegistered
from shared.contract.fields import Cause, CompanyKind
from shared.contract.requests import RegisterCompany, RegisterOffice, RegisterUser
from shared.messaging.publisher import Publisher
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.database import engine_for
from shared.storage.media_store import MediaStore
from shared.storage.migrations import migrate

INSURER, HANDLER = "fjord-forsikring", "kari-holm"
OFFICES = 400
YEARS = 3
NEWEST = datetime(2026, 11, 24, 12, tzinfo=UTC)

FILL = """
    insert into listing
    select company, id, cast(:insurer as text), state, cause, office, at, (at - (n % 5) * interval '1 day')::date,
        number, first || ' ' || family, street || ', ' || postal_code || ' ' || city, null,
        array_to_tsvector(array(select distinct company || '/' || word from unnest(array[
            lower(number), lower(first), lower(family), phone, '47' || phone, lower(street), house, postal_code,
            lower(city), 'state=' || state, 'cause=' || cause, 'office=' || office, 'office=' || second_office]) word))
    from (
        select n, md5('claim' || n)::uuid as id,
            cast(:newest as timestamptz) - (n::float8 / cast(:claims as float8)) * interval '1095 days' as at,
            case when h % 100 < 2 then 'temporary' when h % 100 < 10 then 'cancelled' else 'normal' end as state,
            (array['water', 'water', 'water', 'water', 'storm', 'storm', 'fire', 'flood', 'burglary', 'other',
                case when h % 7 = 0 then 'glass' else 'water' end, 'landslide'])[1 + (h / 100) % 12] as cause,
            'office-' || (h / 1300) % cast(:offices as int) as office,
            'office-' || ((h / 1300) + case when h % 4 = 0 then 40 else 0 end) % cast(:offices as int) as second_office,
            case when h % 100 < 2 then 'Midlertidig' else 'F' end || n as number,
            'Fornavn' || (h / 7) % 200 as first,
            'Etternavn' || (case when h % 3 = 0 then (h / 11) % 8 else (h / 11) % 2000 end) as family,
            (40000000 + (n * 7919::bigint) % 60000000)::text as phone,
            'Gate' || (h / 17) % 3000 as street, (1 + (h / 23) % 90)::text as house,
            lpad(((h / 29) % 330)::text, 4, '0') as postal_code,
            case when h % 5 = 0 then 'Bergen' else 'Sted' || (h / 29) % 330 end as city
        from (select n, abs(hashint4(n)) as h from generate_series(0, cast(:claims as int) - 1) n) numbered
    ) claim, lateral (values (cast(:insurer as text)), ('partner-' || partner_of(office))) as seen(company)
"""

FILL_OFFICES = """
    insert into office_listing
    select claim_id, company, split_part(word, '/office=', 2), state, cause, registered_at, incident_date
    from listing, unnest(tsvector_to_array(words)) word
    where word like '%/office=%'
"""


def directory() -> list[DirectoryEvent]:
    """The insurer with its user, and a partner with the offices."""
    about: dict[str, Any] = {"company": "operator", "request_type": "x", "requested_at": NEWEST}
    insurer = RegisterCompany(id=INSURER, name="Fjord Forsikring", kind=CompanyKind.INSURER)
    partner = RegisterCompany(id="partner-0", name="Vest Skadeservice", kind=CompanyKind.PARTNER)
    user = RegisterUser(id=HANDLER, company=INSURER, name="Kari Holm", authorisation_level=6)
    events: list[DirectoryEvent] = [
        CompanyRegistered(**about, request_id="1", registered=insurer),
        CompanyRegistered(**about, request_id="2", registered=partner),
        UserRegistered(**about, request_id="3", registered=user),
    ]
    for n in range(OFFICES):
        office = RegisterOffice(id=f"office-{n}", company="partner-0", name=f"Kontor {n}")
        events.append(OfficeRegistered(**about, request_id=f"office-{n}", registered=office))
    return events


def some_filter(chance: random.Random) -> tuple[str, dict[str, str]]:
    """Draw a filter, and return what kind it is."""
    chosen: dict[str, str] = {}
    kinds = []
    if chance.random() < 0.5:
        chosen |= chance.choice([{"status": "normal"}, {"status": "avbrutt"}, {"midlertidig": "1"}])
        kinds.append("state")
    if chance.random() < 0.4:
        chosen["arsak"] = chance.choice(list(Cause))
        kinds.append("cause")
    if chance.random() < 0.3:
        chosen["kontor"] = f"office-{chance.randrange(OFFICES)}"
        kinds.append("office")
    if chance.random() < 0.4:
        first = date(2023, 11, 25) + timedelta(days=chance.randrange(365 * YEARS))
        chosen |= {"fra": first.isoformat()}
        if chance.random() < 0.7:
            chosen["til"] = (first + timedelta(days=chance.choice([0, 7, 31, 365]))).isoformat()
        kinds.append("days")
    if chance.random() < 0.4:
        chosen["tekst"] = chance.choice(
            [
                f"Fornavn{chance.randrange(200)} Etternavn{chance.randrange(2000)}",
                f"etternavn{chance.randrange(8)}",
                f"gate{chance.randrange(3000)} {chance.randrange(1, 90)}",
                "bergen",
                "fornavn1",
                f"F{chance.randrange(10_000)}",
                f"{40_000_000 + chance.randrange(60_000_000)}",
                "finnes-ikke",
            ]
        )
        kinds.append("text")
    if chance.random() < 0.3:
        chosen["dato"] = "skadedato"
    if chance.random() < 0.3:
        chosen["rekkefolge"] = "eldste"
    return " + ".join(kinds) or "no filter", chosen


async def filled(database: DatabaseSettings, claims: int) -> None:
    """Fill a new database with so many claims."""
    engine = engine_for(database)
    await migrate(engine, "services.portal")
    began = time.perf_counter()
    await _fill(engine, claims)
    await engine.dispose()
    print(f"{claims:,} claims were filled in after {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


async def page_times(database: DatabaseSettings, folder: Path, requests: int) -> list[tuple[float, str, str]]:
    """Fetch so many pages; of each, how long it took in seconds, its kind of filter, and its address."""
    engine = engine_for(database, connections=10)
    portal = _portal(engine, database, folder)
    app = web_app(portal, routes(portal))
    chance = random.Random(20261124)
    times: list[tuple[float, str, str]] = []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as browser:
        await _log_in(browser)
        await browser.get("/saker")
        while len(times) < requests:
            kind, chosen = some_filter(chance)
            address = f"/saker?{httpx2.QueryParams(chosen)}"
            for _ in range(chance.choice([1, 1, 2, 4])):
                started = time.perf_counter()
                answer = await browser.get(address)
                times.append((time.perf_counter() - started, kind, address))
                assert answer.status_code == 200, answer.text
                next_page = re.search(r'id="neste" href="([^"]+)"', answer.text)
                if next_page is None:
                    break
                address = next_page[1].replace("&amp;", "&")
    await engine.dispose()
    return times


def _summary(times: list[tuple[float, str, str]], claims: int) -> dict[str, Any]:
    kinds: dict[str, list[float]] = {}
    for took, kind, _ in times:
        kinds.setdefault(kind, []).append(took)
    slowest = sorted(times, reverse=True)[:5]
    return {
        "claims": claims,
        "requests": len(times),
        **_percentiles([took for took, _, _ in times]),
        "by_filter": {kind: {"requests": len(t), **_percentiles(t)} for kind, t in sorted(kinds.items())},
        "slowest": [f"{took * 1000:.0f} ms {address}" for took, _, address in slowest],
    }


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return {f"p{n}_ms": round(cuts[n - 1] * 1000, 1) for n in (50, 95, 99)}


async def _fill(engine: AsyncEngine, claims: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("set local transaction_timeout = 0"))
        await connection.execute(
            text(
                "create function partner_of(office text) returns text language sql immutable as "
                "$$ select (substring(office from 8)::int % 40)::text $$"
            )
        )
        # The indexes are made at once when all is there, which is much faster than row by row.
        indexes = await connection.scalars(
            text(
                "select indexdef from pg_indexes where tablename in ('listing', 'office_listing') "
                "and indexname not like '%pkey'"
            )
        )
        definitions = indexes.all()
        for definition in definitions:
            await connection.execute(text(f"drop index {definition.split()[2]}"))
        about = {"insurer": INSURER, "newest": NEWEST, "claims": claims, "offices": OFFICES}
        await connection.execute(text(FILL), about)
        await connection.execute(text(FILL_OFFICES))
        for definition in definitions:
            await connection.execute(text(definition))
        temporary = "select :insurer, count(*) from listing where company = :insurer and state = 'temporary'"
        await connection.execute(text(f"insert into waiting {temporary}"), {"insurer": INSURER})
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("set transaction_timeout = 0"))
        await alone.execute(text("vacuum analyze listing, office_listing"))


def _settings() -> WebSettings:
    return WebSettings(secret=SecretStr("benchmark"), log_in_from_directory=True, url="http://127.0.0.1")


def _portal(engine: AsyncEngine, database: DatabaseSettings, folder: Path) -> Portal:
    settings = ServiceSettings()
    follower = DirectoryFollower(lambda: settings)
    for event in directory():
        follower.directory.apply(event, NEWEST - timedelta(days=1))
    follower.reachable = follower.was_read = True
    store, live = Store(engine), Live(database)
    files, tables = MediaStore.at(folder.as_uri()), MediaTables(engine)
    uploads = Uploads(tables, files, ["benchmark"], UploadSettings())
    sender = RequestSender(Publisher(settings), store, live, follower, _settings().outcome_wait_s)
    return Portal(_settings(), store, live, follower, sender, uploads, tables, files, Thumbnails(files))


async def _log_in(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/logg-inn")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None
    answer = await browser.post("/logg-inn", data={"csrf": token[1], "user": HANDLER})
    assert answer.status_code == 303, answer.text


def main() -> None:
    """Measure, and print one JSON document."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--claims", type=int, default=1_000_000)
    arguments.add_argument("--compare", type=int, default=10_000)
    arguments.add_argument("--requests", type=int, default=1_000)
    options = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="claimbus-benchmark-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        results = []
        for size in (options.compare, options.claims):
            postgres.create_database(f"portal_{size}", owner="portal", password="benchmark")
            url = postgres.url(f"portal_{size}", "portal", "benchmark")
            database = DatabaseSettings(database_url=SecretStr(url))
            asyncio.run(filled(database, size))
            results.append(_summary(asyncio.run(page_times(database, folder / "media", options.requests)), size))
        few, many = results
        print(json.dumps({"results": results, "p95_ratio": round(many["p95_ms"] / few["p95_ms"], 2)}, indent=2))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
