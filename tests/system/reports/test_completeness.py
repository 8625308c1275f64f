"""A period is closed only when everything of it has been read by all on the way to its report (domain rule 20)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from operations.directory_view import directory_from_bus
from services.reporting.closing import Closing, by_topic, periods_of
from services.reporting.progress import Places, Progress, Waiting
from services.reporting.rules import Period
from services.reporting.store import Store, Transaction
from shared.contract.reports import Figures, ReportReady
from shared.contract.topics import CLAIM_EVENTS, REQUEST_OUTCOMES, REQUESTS
from shared.domain.directory import Directory
from shared.messaging.publisher import Publisher
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.database import engine_for
from tests.system.reports.conftest import Reporting
from tests.world import World, claimbus, wait_until

pytestmark = pytest.mark.promise(
    "A report waits until everything of its period has been read, however late.", about="reports"
)

BEFORE, AFTER = 40, 25
LOOKS = 8


@pytest.fixture
def world(reporting: Reporting) -> Iterator[World]:
    world = World(reporting.connection)
    yield world
    world.close()


def test_a_backlog_across_a_periods_end_is_counted_in_the_period_in_which_each_request_was_appended(
    reporting: Reporting, world: World
) -> None:
    stack = reporting.stack
    begins = datetime.now(UTC)
    services = [stack.of(name)[0] for name in ("permissions", "claims", "reporting")]
    for service in services:
        service.stop()
    world.partner.send([world.creation() for _ in range(BEFORE)])
    ends = datetime.now(UTC) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > ends + timedelta(milliseconds=50), what="the period's end")
    world.partner.send([world.creation() for _ in range(AFTER)])
    period = Period("the test's", begins, ends, "Europe/Oslo", short=False)
    progress = reporting.progress()

    async def look() -> Places | Waiting:
        return await progress.passed(ends)

    with asyncio.Runner() as runner:
        to_be_read = runner.run(progress._targets((REQUESTS,), ends))
        assert sum(n for p, n in to_be_read.items() if p.topic == REQUESTS.of(world.partner_id)) == BEFORE
        for service in services:  # each in turn is what the report waits for
            for _ in range(LOOKS):
                waiting = runner.run(look())
                assert isinstance(waiting, Waiting)
                assert waiting.group == service.service
            assert counted(reporting, world, period).created.total < BEFORE
            service.start()
            wait_until(lambda group=service.service: not waits_for(runner.run(look()), group), what="the next service")  # type: ignore[misc]
        passed = runner.run(look())
        runner.run(progress.stop())
    assert not isinstance(passed, Waiting)
    assert counted(reporting, world, period).created.total == BEFORE
    assert sum(by_topic(passed)["claim-events"]) >= BEFORE
    next_period = Period("the next", ends, ends + timedelta(hours=1), "Europe/Oslo", short=False)
    wait_until(lambda: counted(reporting, world, next_period).created.total == AFTER, what="what came after")
    assert counted(reporting, world, period).created.total == BEFORE


def test_a_report_waits_for_permissions_and_says_up_to_where_all_was_read(reporting: Reporting, world: World) -> None:
    (permissions,) = reporting.stack.of("permissions")
    directory = directory_from_bus(reporting.connection)
    period = next(periods_of(directory, world.insurer_id))
    permissions.stop()
    world.partner.send([world.creation() for _ in range(BEFORE)])
    later = period.ends + timedelta(minutes=1)  # the clock is a parameter: as if the week were over
    with asyncio.Runner() as runner:
        for _ in range(LOOKS):
            runner.run(close_what_can_be(reporting, directory, later))
        assert made(reporting, world, period) is None
        permissions.start()

        def is_made() -> bool:
            runner.run(close_what_can_be(reporting, directory, later))
            return made(reporting, world, period) is not None

        wait_until(is_made, what="the report")
        progress = reporting.progress()
        ends = runner.run(progress._targets((CLAIM_EVENTS, REQUEST_OUTCOMES), None))
        runner.run(progress.stop())
    ready = made(reporting, world, period)
    assert ready is not None
    assert ready.report.created.total == BEFORE
    assert not ready.report.preliminary
    assert ready.report.closed_at == later > period.ends
    assert ready.read_up_to == by_topic(ends)
    assert ready.read_up_to.keys() == {"claim-events", "request-outcomes"}
    assert sum(ready.read_up_to["claim-events"]) >= BEFORE


def test_nothing_is_closed_while_claims_can_be_missing(reporting: Reporting, world: World) -> None:
    world.create()
    reporting.all_read()
    directory = directory_from_bus(reporting.connection)
    period = next(periods_of(directory, world.insurer_id))
    later = period.ends + timedelta(minutes=1)
    reporting.in_database(lambda transaction: transaction.completeness.begin_rebuild("a rebuild"))
    for _ in range(3):
        asyncio.run(close_what_can_be(reporting, directory, later))
    assert made(reporting, world, period) is None
    assert reporting.in_database(lambda transaction: transaction.completeness.end_rebuild("another")) is False
    assert reporting.in_database(lambda transaction: transaction.completeness.end_rebuild("a rebuild")) is True

    def is_made() -> bool:
        asyncio.run(close_what_can_be(reporting, directory, later))
        return made(reporting, world, period) is not None

    wait_until(is_made, what="the report, when nothing can be missing any more")


@pytest.mark.last  # its stack has lost messages that others waited for
def test_what_was_deleted_before_it_was_read_is_missed_and_a_rebuild_brings_it_back(
    reporting: Reporting, world: World
) -> None:
    (service,) = reporting.stack.of("reporting")
    period = next(periods_of(directory_from_bus(reporting.connection), world.insurer_id))
    service.stop()
    for _ in range(3):
        world.create()
    reporting.delete_messages(CLAIM_EVENTS)
    service.start()
    reporting.stack.wait_until_ready()
    wait_until(
        lambda: bool(reporting.in_database(lambda transaction: transaction.completeness.is_incomplete())),
        what="it to be noticed",
    )
    world.create()  # goes on meanwhile
    reporting.all_read()
    assert counted(reporting, world, period).created.total == 1
    done = claimbus("rebuild", "reporting", connection_file=reporting.connection_file)
    assert done.returncode == 0, done.stderr
    assert counted(reporting, world, period).created.total == 4
    service.stop()
    service.start()
    reporting.stack.wait_until_ready()
    assert (
        reporting.in_database(lambda transaction: transaction.completeness.is_incomplete()) is False
    )  # also after the next start


def counted(reporting: Reporting, world: World, period: Period) -> Figures:
    return reporting.in_database(lambda t: t.counting.figures(world.insurer_id, period, closed_at=None))


def made(reporting: Reporting, world: World, period: Period) -> ReportReady | None:
    async def find(transaction: Transaction) -> ReportReady | None:
        report = await transaction.reports.of(world.insurer_id, period.label)
        return None if report is None else report.message

    return reporting.in_database(find)


def waits_for(passed: Places | Waiting, group: str) -> bool:
    return isinstance(passed, Waiting) and passed.group == group


async def close_what_can_be(reporting: Reporting, directory: Directory, now: datetime) -> None:
    """Look once whether periods can be closed, as the service does again and again, at a moment of our choice."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(reporting.connection.databases["reporting"])))
    settings = ServiceSettings(**reporting.operator())
    progress, publisher = Progress(settings), Publisher(settings)

    async def is_up_to_date() -> None:
        return None

    closing = Closing(
        Store(engine),
        directory,
        progress,
        publisher,
        catch_up=is_up_to_date,
        give_up=pytest.fail,
        clocks_differ_s=0,
        every_s=1,
    )
    await closing.look(now)
    await closing.stop()
    await publisher.stop()
    await engine.dispose()
