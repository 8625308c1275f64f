"""A partner that gets a task later sees in the portal what it was told on the bus: what happened from then on."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.portal.claim_view import ClaimView
from services.portal.listing import Filter
from services.portal.media_store import MediaTables, save_media
from services.portal.read_model import CausedEvent, save
from services.portal.store import Store
from shared.contract.events import BudgetApproved, ClaimEvent, Report, ReportedMedia, TaskAssigned, TaskReported
from shared.contract.fields import TaskKind
from shared.media.types import MediaType
from tests.builders.content import content
from tests.builders.events import about, created, task
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import FJORD, NORD, NORD_TROMSO, VEST
from tests.integration.conftest import Databases, engine_of

pytestmark = pytest.mark.promise(
    "Who joins a claim later sees what happened to it from then on, on the bus and in the portal.", about="portal"
)

ALL = (FJORD, NORD, VEST)
REFERENCE = "V-77"


@dataclass
class Known:
    """A claim of VEST, at which NORD gets a task when some has been reported."""

    store: Store
    media: MediaTables
    id: UUID
    before: Report
    after: Report
    own: UUID
    others: UUID

    async def seen_by(self, company: str) -> ClaimView:
        view = await self.store.claim(company, self.id)
        assert view is not None
        return view


def report(text: str) -> Report:
    id = uuid4()
    photo = ReportedMedia(media_id=id, upload_id=id, name="a.jpg", content_type=MediaType.JPEG, size=3, sha256="0" * 64)
    return Report(report_id=uuid4(), text=text, media=[photo], finished=False)


@pytest.fixture
async def known(databases: Databases) -> AsyncIterator[Known]:
    id, written = uuid4(), content(policy_number="P-1").model_copy(update={"partner_reference": REFERENCE})
    assert written.incident is not None
    assert written.policyholder is not None
    first = task(kind=TaskKind.INSPECTION, needs_budget=True)
    late = task(office=NORD_TROMSO, company=NORD)
    before, after = report("Før: det var rot hos kunden."), report("Etter: tørket.")
    events: list[ClaimEvent] = [
        created(id, tasks=[first], written=written),
        BudgetApproved(**about(id, 2), task_id=first.task_id, amount="900", currency="NOK"),
        TaskReported(**about(id, 3), task_id=first.task_id, report=before),
        TaskAssigned(
            **about(id, 4, audience=ALL, at=TUESDAY_EVENING + timedelta(hours=1)),
            task=late,
            claim_number="Midlertidig 1",
            incident=written.incident,
            policyholder=written.policyholder,
        ),
    ]
    async with engine_of(await databases.empty("services.portal")) as engine:
        store = Store(engine)
        known = Known(store, MediaTables(engine), id, before, after, late.task_id, first.task_id)
        await save_all(store, events)
        yield known


async def save_all(store: Store, events: list[ClaimEvent]) -> None:
    async with store.transaction() as connection:
        caused = [CausedEvent(event, f"portal:{event.version}") for event in events]
        await save_media(connection, await save(connection, caused))


async def test_what_was_reported_before_it_came_is_not_shown_to_it(known: Known) -> None:
    view = await known.seen_by(NORD)
    assert [(task.task_id, task.reports) for task in view.tasks] == [(known.own, ())]
    assert (view.partner_reference, view.policy_number) == (None, None)
    assert view.incident == (await known.seen_by(VEST)).incident
    assert [event.NAME for event in await known.store.history(NORD, known.id)] == ["task-assigned"]
    assert await known.media.file(known.before.media[0].media_id, NORD) is None


async def test_what_happens_from_then_on_is(known: Known) -> None:
    reported = TaskReported(**about(known.id, 5, audience=ALL), task_id=known.others, report=known.after)
    await save_all(known.store, [reported])
    view = await known.seen_by(NORD)
    assert [r.report_id for task in view.tasks for r in task.reports] == [known.after.report_id]
    assert [(task.budget, task.waits_for_budget) for task in view.tasks] == [(None, False)] * 2
    assert await known.media.file(known.after.media[0].media_id, NORD) is not None
    assert await known.media.file(known.before.media[0].media_id, NORD) is None


async def test_the_insurer_and_who_created_it_see_it_all(known: Known) -> None:
    for company in (FJORD, VEST):
        view = await known.seen_by(company)
        assert [r.report_id for task in view.tasks for r in task.reports] == [known.before.report_id]
        assert {task.task_id for task in view.tasks} == {known.own, known.others}
        assert (view.partner_reference, view.policy_number) == (REFERENCE, "P-1")
        assert await known.media.file(known.before.media[0].media_id, company) is not None


async def test_it_does_not_find_the_claim_by_what_it_was_not_told(known: Known) -> None:
    for company, finds in ((VEST, 1), (FJORD, 1), (NORD, 0)):
        for text in (REFERENCE, "P-1"):
            page = await known.store.page(company, Filter(text=text), "Europe/Oslo")
            assert len(page.rows) == finds, (company, text)
    assert len((await known.store.page(NORD, Filter(text="Berg"), "Europe/Oslo")).rows) == 1


async def test_to_others_there_is_no_such_claim_nor_file(known: Known) -> None:
    assert await known.store.claim("another", known.id) is None
    assert await known.media.file(known.before.media[0].media_id, "another") is None
