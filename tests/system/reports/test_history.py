"""A generated history of 2,000 claims over three months: the reports say what was counted from the list.

What happened carries its own moment, as permissions stamps it on a request, so history can be in the past although the
topics' append times are today's. Only the moment of an insurer's registration is an append time; the test has the
topic `directory` keep the times that it is written with. Reporting, permissions, claims and delivery are the real ones.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any
from zlib import crc32

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, insert, text

from operations.bus import Company
from services.claims.claim import apply
from services.claims.tables import claim_events as recorded_events
from services.claims.tables import claims as recorded_claims
from services.claims.tables import requests as recorded_requests
from services.reporting.store import Transaction
from services.reporting.tables import reports
from shared.contract import ids
from shared.contract.directory_events import CompanyRegistered, DirectoryEvent, PortalSettingsSet
from shared.contract.envelope import Outgoing, outgoing
from shared.contract.outcomes import RequestAccepted
from shared.contract.topics import CLAIM_EVENTS, DIRECTORY, OPERATOR, REQUEST_OUTCOMES
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from tests.builders import directory_file, outcomes
from tests.builders.directory import directory_event
from tests.system.reports.conftest import Reporting, run_reporting
from tests.system.reports.history import (
    CHANGED,
    CHANGING,
    MONTHLY,
    PARTNERS,
    REGISTERED,
    WEEKLY,
    ZONES,
    Json,
    Plan,
    RefusedCreation,
    draw,
    events_of,
    expected_reports,
    outcome_of,
    periods_of,
)
from tests.world import as_json, claimbus, wait_until

pytestmark = pytest.mark.promise(
    "The reports of 2,000 claims over three months equal what is counted from the list, also after every "
    "message came twice and after all was dropped and rebuilt.",
    about="reports",
)

CLAIMS, REFUSED, SEED = 2000, 400, 6

History = tuple[list[Plan], list[RefusedCreation]]


@pytest.fixture(scope="module")
def reporting() -> Iterator[Reporting]:
    """A stack of its own: no company is registered in it today, before those of the past are."""
    yield from run_reporting("linking")  # which would read all of it again and again


@pytest.fixture(scope="module")
def history() -> History:
    return draw(CLAIMS, REFUSED, SEED)


def test_the_reports_of_2000_claims_equal_what_is_counted_from_the_list_also_made_again(
    reporting: Reporting, history: History
) -> None:
    expected = {insurer: expected_reports(*history, insurer) for insurer in ZONES}
    messages = messages_of(*history)
    reporting.backdate_directory()
    reporting.companies(*ZONES, *PARTNERS)
    reporting.publish(messages)
    register(reporting)  # last: what there is no insurer of cannot be closed
    made = all_made(reporting)
    assert_equal(made, expected)
    assert_chained(made)
    assert delivered(reporting, WEEKLY) >= set(expected[WEEKLY])

    # After replaying every message twice: nothing has changed, and reports made now are the same.
    reporting.publish(itertools.chain(messages, messages))
    reporting.all_read()
    forget_reports(reporting)
    assert_equal(all_made(reporting), expected)

    # After dropping all there is and rebuilding from the record of claims.
    record(reporting, history)
    (instance,) = reporting.stack.of("reporting")
    instance.stop()
    drop(reporting)
    assert claimbus("migrate", "reporting", connection_file=reporting.connection_file).returncode == 0
    instance.start()
    reporting.stack.wait_until_ready()
    assert reporting.in_database(lambda transaction: transaction.completeness.is_incomplete())
    refused = claimbus("report", f"--insurer={WEEKLY}", connection_file=reporting.connection_file)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "claims can be missing" in refused.stderr
    done = claimbus("rebuild", "reporting", "--json", connection_file=reporting.connection_file)
    assert done.returncode == 0, done.stderr
    counted = sum(r.insurer is not None for r in history[1])
    assert as_json(done) == {"read_model": "reporting", "claims": CLAIMS, "refused_requests": counted}
    assert_equal(all_made(reporting), expected)


def messages_of(plans: list[Plan], refused: list[RefusedCreation]) -> list[Outgoing]:
    """All that claims publishes: each claim's events in order, the claims mixed, and the outcomes."""
    events = [
        outgoing(
            CLAIM_EVENTS.name,
            event.claim_id,
            event,
            id=f"{event.claim_id}/{event.version}",
            source="claims",
            cause="a request",
        )
        for plan in plans
        for event in events_of(plan)
    ]
    events.sort(key=lambda message: (crc32(message.key.encode()) % 7, message.key))
    outcomes = [
        outgoing(REQUEST_OUTCOMES.name, r.id, outcome_of(r), id=f"{r.company}/{r.id}", source="claims", cause=r.id)
        for r in refused
    ]
    return [*events, *outcomes]


def register(reporting: Reporting) -> None:
    """Register the insurers, in the past; one of them changes from weeks to months."""
    event = partial(directory_event, at=REGISTERED)
    registrations = [
        event(CompanyRegistered, OPERATOR, f"r-{insurer}", registered=directory_file.insurer(insurer, insurer))
        for insurer in ZONES
    ]
    monthly = {"report_period": "monthly"}
    registrations.append(event(PortalSettingsSet, MONTHLY, "s-1", settings=monthly | {"time_zone": ZONES[MONTHLY]}))
    change = event(PortalSettingsSet, CHANGING, "s-2", settings=monthly)
    reporting.publish([_directory(event) for event in registrations], at=REGISTERED)
    reporting.publish([_directory(change)], at=CHANGED)


def _directory(event: DirectoryEvent) -> Outgoing:
    return outgoing(DIRECTORY.name, event.company, event, id=event.request_id, source="permissions", cause="x")


def all_made(reporting: Reporting) -> dict[str, dict[str, Json]]:
    """Wait until every period of the history has its report; return them as documents, by insurer and period."""
    made: dict[str, dict[str, Json]] = {}

    def all_are() -> bool:
        for insurer in ZONES:
            made[insurer] = reporting.in_database(partial(_of, insurer))
        return all(made[insurer].keys() >= set(periods_of(insurer)) for insurer in ZONES)

    wait_until(all_are, what="all reports", timeout_s=120, look_every_s=0.5)
    return made


async def _of(insurer: str, transaction: Transaction) -> dict[str, Json]:
    found = {label: await transaction.reports.of(insurer, label) for label in periods_of(insurer)}
    return {label: made.message.report.document() for label, made in found.items() if made is not None}


def assert_equal(made: dict[str, dict[str, Json]], expected: dict[str, dict[str, Json]]) -> None:
    """Compare to the last number."""
    for insurer, reports_of_insurer in expected.items():
        for label, answer in reports_of_insurer.items():
            report = made[insurer][label]
            assert {name: report[name] for name in answer} == answer, (insurer, label)
            assert not report["preliminary"]
            assert datetime.fromisoformat(report["closed_at"]) > datetime.fromisoformat(report["to"])


def assert_chained(made: dict[str, dict[str, Json]]) -> None:
    """Check that periods follow each other, the first is short, and each has the one before beside it."""
    for insurer in ZONES:
        chain = [made[insurer][label] for label in periods_of(insurer)]
        assert chain[0]["previous"] is None
        assert datetime.fromisoformat(chain[0]["from"]) == REGISTERED
        assert chain[0].get("short")
        for before, report in itertools.pairwise(chain):
            assert report["from"] == before["to"]
            assert report["previous"] == {name: value for name, value in before.items() if name != "previous"}
    short = [label for label in periods_of(CHANGING) if made[CHANGING][label].get("short")]
    assert short == ["2025-W36", "2025-10"]


def delivered(reporting: Reporting, insurer: str) -> set[str]:
    """The periods whose report the insurer received on its topic."""
    got: set[str] = set()
    company = Company(reporting.connection, insurer, from_start=True)

    def all_there() -> bool:
        company.read()
        got.update(m.body["period"] for m in company.received if m.type == "report-ready")
        return got >= set(periods_of(insurer))

    wait_until(all_there, what="report-ready of each period")
    company.close()
    return got


def forget_reports(reporting: Reporting) -> None:
    async def forget(transaction: Transaction) -> None:
        await transaction.connection.execute(delete(reports))

    reporting.in_database(forget)


def drop(reporting: Reporting) -> None:
    """Throw the whole database away, the reports too."""

    async def do(transaction: Transaction) -> None:
        await transaction.connection.execute(text("drop schema public cascade"))
        await transaction.connection.execute(text("create schema public"))

    reporting.in_database(do)


def record(reporting: Reporting, history: History) -> None:
    """Put the history in the record of claims, as claims would have."""

    async def do() -> None:
        engine = engine_for(DatabaseSettings(database_url=SecretStr(reporting.connection.databases["claims"])))
        async with transaction(engine) as connection:
            for table, rows in _rows(*history):
                await connection.execute(insert(table), rows)
        await engine.dispose()

    asyncio.run(do())


def _rows(plans: list[Plan], refused: list[RefusedCreation]) -> Iterable[tuple[Any, list[Json]]]:
    histories = [list(events_of(plan)) for plan in plans]
    yield (
        recorded_claims,
        [
            {
                "id": events[0].claim_id,
                "insurer": events[0].insurer,
                "state": "temporary",
                "version": len(events),
                "claim": apply(None, events[0]).model_copy(update={"version": len(events)}).json_bytes().decode(),
            }
            for events in histories
        ],
    )
    yield (
        recorded_events,
        [
            {
                "claim_id": event.claim_id,
                "version": event.version,
                "company": event.actor.company,
                "request_id": f"{event.claim_id}-{event.version}",
                "type": event.type(),
                "event": event.json_bytes().decode(),
            }
            for events in histories
            for event in events
        ],
    )
    accepted = [
        outcomes.accepted(events[0].actor.company, f"{events[0].claim_id}-1", events[0].claim_id, at=events[0].at)
        for events in histories
    ]
    yield (
        recorded_requests,
        [
            {
                "company": outcome.company,
                "request_id": outcome.request_id,
                "claim_id": claim_id,
                "requested_at": outcome.requested_at,
                "outcome_type": outcome.type(),
                "outcome": outcome.json_bytes().decode(),
            }
            for outcome, claim_id in _with_claims(accepted, refused)
        ],
    )


def _with_claims(accepted: list[RequestAccepted], refused: list[RefusedCreation]) -> Iterable[tuple[Any, Any]]:
    yield from ((outcome, outcome.claim_id) for outcome in accepted)
    yield from ((outcome_of(r), ids.claim_id(r.company, r.id)) for r in refused)
