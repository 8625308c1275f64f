"""What reports are counted from, on a real PostgreSQL: periods as they were at their end, and who loses a race."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from itertools import pairwise, takewhile

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.closing import made, periods_of
from services.reporting.kept_reports import MadeReport
from services.reporting.projection import Gap
from services.reporting.reports import Incomplete, find_report
from services.reporting.rules import Period, periods_from
from services.reporting.store import Store
from shared.contract.events import ClaimEvent, ClaimLinked, ClaimUnlinked
from shared.contract.reports import Figures
from shared.domain.portal_settings import PortalSettings
from shared.errors import Conflict
from tests.builders import directory
from tests.builders.requests import FJORD
from tests.integration.conftest import Databases, engine_of
from tests.system.reports.history import END, REGISTERED, WEEKLY, Plan, draw, events_of, expected_reports


@pytest.fixture
async def engine(databases: Databases) -> AsyncIterator[AsyncEngine]:
    """An empty database."""
    async with engine_of(await databases.empty("services.reporting")) as engine:
        yield engine


PLANS = [plan for plan in draw(600, 0, seed=7)[0] if plan.insurer == WEEKLY]
NOW = directory.REGISTERED + timedelta(days=7)
"""In the second week of an insurer of `directory`."""
PERIODS = list(takewhile(lambda period: period.begins < END, periods_from(REGISTERED, lambda _: PortalSettings())))


async def test_a_period_that_is_counted_at_its_end_and_one_that_is_counted_later_are_the_same(
    engine: AsyncEngine,
) -> None:
    store = Store(engine)
    left = sorted((event for plan in PLANS for event in events_of(plan)), key=lambda event: event.at)
    at_its_end: list[Figures] = []
    for period in PERIODS:
        past = [event for event in left if event.at < period.ends]
        await apply(store, past)
        left = left[len(past) :]
        at_its_end.append(await count(store, period))
    assert left == []
    assert [await count(store, period) for period in PERIODS] == at_its_end
    expected = expected_reports(PLANS, [], WEEKLY)
    assert [figures.waiting for figures in at_its_end] == [expected[period.label]["waiting"] for period in PERIODS]


async def test_what_waits_is_what_waited_and_came_less_what_was_handled_but_for_links_that_were_taken_back(
    engine: AsyncEngine,
) -> None:
    store = Store(engine)
    await apply(store, [event for plan in PLANS for event in events_of(plan)])
    counted = [(period, await count(store, period)) for period in PERIODS]
    for (_, before), (period, now) in pairwise(counted):
        handled = now.converted + now.linked + now.cancelled
        assert now.waiting == before.waiting + now.created.total - handled + taken_back(PLANS, period)


def taken_back(plans: list[Plan], period: Period) -> int:
    """Count the links of earlier periods that were taken back in a period."""
    count = 0
    for plan in plans:
        linked = None
        for event in events_of(plan):
            if isinstance(event, ClaimLinked):
                linked = event.at
            if isinstance(event, ClaimUnlinked) and linked is not None:
                count += linked < period.begins <= event.at < period.ends
    return count


async def test_of_two_instances_that_apply_the_same_events_one_loses_and_then_finds_nothing_to_do(
    engine: AsyncEngine,
) -> None:
    store = Store(engine)
    (first, second, *_) = (list(events_of(plan)) for plan in PLANS if len(plan.changes) > 1)
    both_read = asyncio.Barrier(2)

    async def instance() -> None:
        async with store.transaction() as transaction:
            changes = await transaction.counted.changes_to({first[0].claim_id})
            await both_read.wait()
            changes.apply(first)
            await transaction.counted.save(changes, ())

    results = await asyncio.gather(instance(), instance(), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Conflict]
    await apply(store, [*first, *second, *first])
    async with store.transaction() as transaction:
        changes = await transaction.counted.changes_to({first[0].claim_id})
    assert changes.claims[first[0].claim_id].version == len(first)


async def test_a_batch_with_a_gap_changes_nothing(engine: AsyncEngine) -> None:
    store = Store(engine)
    (first, second, *_) = (list(events_of(plan)) for plan in PLANS if len(plan.changes) > 1)
    with pytest.raises(Gap):
        await apply(store, [*first, second[0], second[2]])
    async with store.transaction() as transaction:
        changes = await transaction.counted.changes_to({first[0].claim_id, second[0].claim_id})
    assert changes.claims == {}


async def test_only_one_instance_closes_periods(engine: AsyncEngine) -> None:
    store = Store(engine)
    async with store.transaction() as one, store.transaction() as another:
        assert await one.reports.lock_closing()
        assert not await another.reports.lock_closing()


async def test_while_claims_can_be_missing_only_a_report_that_is_made_is_told(engine: AsyncEngine) -> None:
    store = Store(engine)
    first, running, *_ = takewhile(lambda period: period.begins <= NOW, periods_of(directory.registered(), FJORD))
    with pytest.raises(Incomplete, match=running.label):  # a new database, of which nobody has said anything yet
        await find_in(store, running.label)
    async with store.transaction() as transaction:
        await transaction.completeness.set_incomplete(False)
        await transaction.reports.keep(MadeReport(first, await made(transaction, FJORD, first, None, {}, NOW)))
    assert (await find_in(store, running.label)).preliminary
    async with store.transaction() as transaction:
        await transaction.completeness.begin_rebuild("a rebuild")
    with pytest.raises(Incomplete, match=running.label):
        await find_in(store, running.label)
    assert not (await find_in(store, first.label)).preliminary
    assert (await find_in(store, None)).period == first.label


async def find_in(store: Store, label: str | None) -> Figures:
    async with store.transaction() as transaction:
        report, _ = await find_report(transaction, directory.registered(), FJORD, label, NOW)
    return report


async def apply(store: Store, events: Iterable[ClaimEvent]) -> None:
    events = list(events)
    async with store.transaction() as transaction:
        changes = await transaction.counted.changes_to({event.claim_id for event in events})
        changes.apply(events)
        await transaction.counted.save(changes, ())


async def count(store: Store, period: Period) -> Figures:
    async with store.transaction() as transaction:
        return await transaction.counting.figures(WEEKLY, period, closed_at=None)
