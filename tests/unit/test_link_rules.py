"""Linking (domain rules 15–17): the whole chain of steps between two claims, in any order that the bus allows."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.claims.batch import Batch, Decided
from services.claims.claim import MAX_TASKS, Claim, State, apply
from services.claims.commands import Step
from services.linking import rules as linking
from services.portal import claim_view
from services.portal.claim_view import ClaimView
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import Facts
from shared.contract.events import (
    CLAIM_EVENTS,
    ClaimEvent,
    ClaimLinked,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    LinkFailed,
    LinkStarted,
    TaskReported,
)
from shared.contract.linking import ImportContent, LinkFailure, LinkRequested, LinkStep
from shared.media.keys import MediaKeys, UploadedMedia
from shared.media.types import MediaType
from tests.builders.commands import (
    GLAZIER,
    GLAZIER_OFFICE,
    INSURER,
    OTHER_INSURER,
    PLUMBER,
    SURVEYOR,
    SURVEYOR_OFFICE,
    Desk,
    Json,
    accepted,
    code_of,
    empty_batch,
    facts,
)
from tests.builders.content import FIRST_AID
from tests.builders.moments import TUESDAY_EVENING

pytestmark = pytest.mark.promise(
    "A link is all or nothing, and no report is lost or doubled, whatever the order of steps and reports; "
    "taking it back brings everything back.",
    about="links",
)

KEYS = MediaKeys(["a secret"])
INSPECTION = {"kind": "inspection", "office": SURVEYOR_OFFICE}
UNLINK = facts().model_copy(update={"unlink_days": 30})
CopyPart = Callable[[LinkRequested], LinkStep | tuple[LinkStep, ...]]


def uploaded(n: int = 1, *, company: str = PLUMBER, **differs: Any) -> Json:
    """Make a file of a report, with the key that its upload was answered with; `differs` is what it then says else."""
    upload = UploadedMedia(
        company=company,
        upload_id=UUID(int=n),
        name=f"{n}.jpg",
        content_type=MediaType.JPEG,
        size=1000 + n,
        sha256=f"{n:064x}",
        name_by=TUESDAY_EVENING + timedelta(days=7),
    )
    file = {"name": upload.name, "content_type": upload.content_type, "size": upload.size, "sha256": upload.sha256}
    return {**file, "key": KEYS.sign(upload), **differs}


@dataclass
class Bus(Desk):
    """Carries the steps of links between claims, one key at a time, as Kafka does; each may come more than once."""

    batch: Batch = field(default_factory=lambda: empty_batch(uploads=KEYS.verify))
    copy_part: CopyPart = linking.import_of
    """What linking does with a part: the step or steps that it asks claims for."""
    to_linking: deque[LinkRequested] = field(default_factory=deque)
    to_claims: list[Step] = field(default_factory=list)
    events: list[ClaimEvent] = field(default_factory=list)
    at: datetime = TUESDAY_EVENING

    def decide(self, command: Any) -> Decided:
        """Decide a command once, and send on what it leads to, each time."""
        before = self.batch.decided.get(command.key)
        decided = super().decide(command)
        if before is None:
            self.events += decided.events
        for follow_up in decided.follow_ups:
            if isinstance(follow_up.step, LinkRequested):
                self.to_linking.append(follow_up.step)
            else:
                self.to_claims.append(Step(follow_up.step, follow_up.claim_id, self.at, command.cause))
        return decided

    def copy(self) -> None:
        """Have linking copy the next part, or two instances of it."""
        part = self.to_linking.popleft()
        steps = self.copy_part(part)
        for step in steps if isinstance(steps, tuple) else (steps,):
            self.to_claims.append(Step(step, part.target_claim_id, self.at, "link"))

    def step(self, which: int = 0) -> None:
        """Have claims take a step."""
        self.decide(self.to_claims.pop(which))

    def settle(self, random: Random | None = None, again: float = 0.0) -> None:
        """Carry everything to its end, in any order; some steps come again."""
        random = random or Random(1)
        while self.to_linking or self.to_claims:
            if self.to_linking and (not self.to_claims or random.random() < 0.5):
                if random.random() < again:
                    self.to_linking.append(self.to_linking[0])
                self.copy()
            else:
                which = random.randrange(len(self.to_claims))
                if random.random() < again:
                    self.to_claims.append(self.to_claims[which])
                self.step(which)

    def source(self) -> Claim:
        """Make a temporary claim with a first-aid task of the plumber and an inspection of the surveyor."""
        return self.create(tasks=[FIRST_AID, INSPECTION])

    def report(self, claim: Claim, text: str, n: int = 0, **more: Any) -> Decided:
        """Report on the claim's n-th task, as its company."""
        task = self.now(claim).tasks[n]
        return self.ask(claim, "report-task", task.company, task_id=str(task.task_id), text=text, **more)

    def link(self, source: Claim, target: Claim, **how: Any) -> Decided:
        """Ask for a link."""
        return self.ask(source, "link-claim", INSURER, target_claim_id=str(target.id), **how)

    def unlink(self, source: Claim, at: datetime = TUESDAY_EVENING) -> Decided:
        """Ask for a link to be taken back."""
        return self.ask(source, "unlink-claim", INSURER, facts=UNLINK, at=at)

    def of(self, claim: Claim) -> list[ClaimEvent]:
        """What happened to a claim."""
        return [event for event in self.events if event.claim_id == claim.id]


@pytest.fixture
def bus() -> Bus:
    return Bus()


def shown(events: Sequence[ClaimEvent]) -> ClaimView:
    """What the portal shows of a claim."""
    view: ClaimView | None = None
    for event in events:
        view = claim_view.apply(view, event)
    assert view is not None
    return view


def texts_on(claim: Claim, events: list[ClaimEvent]) -> list[str]:
    """The texts of the reports that a claim has now, each as often as it has it."""
    texts: list[tuple[UUID | None, str]] = []
    for event in events:
        if event.claim_id != claim.id:
            continue
        if isinstance(event, TaskReported):
            texts.append((event.task_id, event.report.text or ""))
        if isinstance(event, ContentImported | ClaimUnlinked):
            texts += [(task.task_id, report.text or "") for task in event.tasks for report in task.reports]
        if isinstance(event, ContentWithdrawn):
            texts = [(task, text) for task, text in texts if task not in event.task_ids]
    return sorted(text for _, text in texts)


def last(events: list[ClaimEvent], kind: type[Any]) -> Any:
    return [event for event in events if isinstance(event, kind)][-1]


# The link (rule 15)


def test_the_content_is_imported_into_the_target_and_the_source_is_cancelled_and_points_to_it(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet", media=[uploaded(1), uploaded(2)])
    bus.link(source, target, actor="Kari")
    bus.settle()
    after, into = bus.now(source), bus.now(target)
    assert after.state is State.CANCELLED
    assert after.link is not None
    assert after.link.target_claim_id == target.id
    linked = last(bus.of(source), ClaimLinked)
    assert (linked.target_claim_id, linked.target_claim_number, linked.actor.name) == (target.id, "SK-1", "Kari")
    imported = last(bus.of(target), ContentImported)
    assert (imported.source_claim_id, imported.source_claim_number) == (source.id, source.claim_number)
    assert [(t.kind, t.office, t.company) for t in into.tasks] == [(t.kind, t.office, t.company) for t in source.tasks]
    assert {t.task_id for t in into.tasks}.isdisjoint(t.task_id for t in source.tasks)
    (report,) = imported.tasks[0].reports
    assert (report.text, report.actor.company) == ("Pumpet", PLUMBER)
    assert [media.sha256 for media in report.media] == [uploaded(n)["sha256"] for n in (1, 2)]
    assert [media.media_id for media in report.media] == [
        ids.copy_id(linked.link_id, media.source_media_id) for media in report.media
    ]
    assert (into.media, after.media) == (0, 2), "imported files do not count towards the target's limit"


def test_the_companies_whose_tasks_moved_may_see_the_target(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    assert last(bus.of(target), ContentImported).audience == bus.now(target).audience
    assert bus.now(target).audience == sorted([INSURER, PLUMBER, SURVEYOR])
    task = bus.now(target).tasks[0]
    assert accepted(bus.report(target, "Tørket"))
    assert bus.now(target).task(task.task_id).reports == 1  # type: ignore[union-attr]


def test_a_target_is_named_by_its_number_too(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    assert accepted(bus.ask(source, "link-claim", INSURER, target_claim_number="SK-1"))
    assert last(bus.events, LinkStarted).target_claim_id == target.id


def test_a_budget_that_was_approved_is_needed_no_more_on_the_copy(bus: Bus) -> None:
    source, target = bus.create(tasks=[INSPECTION], facts=facts(needs_budget=True)), bus.register("SK-1")
    (task,) = source.tasks
    bus.ask(source, "approve-budget", INSURER, task_id=str(task.task_id), amount="1", currency="NOK")
    bus.link(source, target)
    bus.settle()
    assert not bus.now(target).tasks[0].waits_for_budget


def test_a_budget_that_is_approved_while_the_link_is_under_way_comes_with_the_next_report(bus: Bus) -> None:
    source, target = bus.create(tasks=[INSPECTION], facts=facts(needs_budget=True)), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    assert bus.now(target).tasks[0].waits_for_budget
    bus.ask(source, "approve-budget", INSURER, task_id=str(source.tasks[0].task_id), amount="1", currency="NOK")
    assert accepted(bus.report(source, "late"))
    bus.settle()
    assert not bus.now(target).tasks[0].waits_for_budget
    assert not shown(bus.of(target)).tasks[0].waits_for_budget
    assert accepted(bus.report(target, "at the target"))


def test_a_budget_that_was_approved_at_the_target_comes_back_with_the_task(bus: Bus) -> None:
    source, target = bus.create(tasks=[INSPECTION], facts=facts(needs_budget=True)), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    copy = str(bus.now(target).tasks[0].task_id)
    assert accepted(bus.ask(target, "approve-budget", INSURER, task_id=copy, amount="1", currency="NOK"))
    assert accepted(bus.unlink(source))
    bus.settle()
    assert not bus.now(source).tasks[0].waits_for_budget
    assert not shown(bus.of(source)).tasks[0].waits_for_budget


@pytest.mark.parametrize("target", ["unknown", "another insurer's", "temporary", "cancelled", "itself"])
def test_a_target_that_cannot_take_a_link_is_refused(bus: Bus, target: str) -> None:
    source = bus.source()
    targets = {
        "unknown": lambda: UUID(int=1),
        "another insurer's": lambda: bus.register("SK-1", company=OTHER_INSURER).id,
        "temporary": lambda: bus.create("second").id,
        "cancelled": lambda: cancelled(bus).id,
        "itself": lambda: source.id,
    }
    decided = bus.ask(source, "link-claim", INSURER, target_claim_id=str(targets[target]()))
    assert code_of(decided) is Code.TARGET_NOT_LINKABLE
    assert decided.follow_ups == ()
    assert bus.now(source) == source


def cancelled(bus: Bus) -> Claim:
    claim = bus.register("SK-9", "cancelled")
    bus.ask(claim, "cancel-claim", INSURER)
    return claim


def test_a_number_of_another_insurer_is_no_target(bus: Bus) -> None:
    source = bus.source()
    bus.register("SK-1", company=OTHER_INSURER)
    decided = bus.ask(source, "link-claim", INSURER, target_claim_number="SK-1")
    assert code_of(decided) is Code.TARGET_NOT_LINKABLE


def test_only_a_temporary_claim_is_linked(bus: Bus) -> None:
    target, normal = bus.register("SK-1"), bus.register("SK-2", "second")
    assert code_of(bus.link(normal, target)) is Code.NOT_TEMPORARY
    assert code_of(bus.link(cancelled(bus), target)) is Code.ALREADY_CANCELLED


def test_nobody_but_the_insurer_sees_enough_to_link(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    decided = bus.ask(source, "link-claim", OTHER_INSURER, target_claim_id=str(target.id))
    assert code_of(decided) is Code.UNKNOWN_CLAIM


def test_of_two_links_of_a_claim_the_first_wins(bus: Bus) -> None:
    source, one, other = bus.source(), bus.register("SK-1", "one"), bus.register("SK-2", "other")
    assert accepted(bus.link(source, one))
    assert code_of(bus.link(source, other)) is Code.BEING_LINKED
    bus.settle()
    assert len(bus.now(one).tasks) == 2
    assert bus.now(other).tasks == ()


def test_two_claims_are_linked_into_one_at_once(bus: Bus) -> None:
    first, second, target = bus.source(), bus.create("second", tasks=[FIRST_AID]), bus.register("SK-1")
    bus.report(first, "a")
    bus.report(second, "b")
    bus.link(first, target)
    bus.link(second, target)
    bus.settle()
    assert texts_on(target, bus.events) == ["a", "b"]
    assert bus.now(first).state is bus.now(second).state is State.CANCELLED


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("convert-to-normal", {"claim_number": "SK-2", "handler": "kari"}),
        ("cancel-claim", {}),
        ("amend-claim", {"policy_number": "P-1"}),
        ("assign-task", {"kind": "first_aid", "office": SURVEYOR_OFFICE}),
    ],
)
def test_while_it_is_linked_nothing_but_reports_is_taken(bus: Bus, name: str, body: Json) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    assert code_of(bus.ask(source, name, INSURER, **body)) is Code.BEING_LINKED
    bus.settle()
    assert code_of(bus.ask(source, name, INSURER, **body)) is Code.ALREADY_CANCELLED


# All or nothing (rule 16)


def test_a_link_that_is_given_up_leaves_the_claim_temporary_with_the_reason(bus: Bus) -> None:
    bus.copy_part = lambda part: linking.give_up(part, LinkFailure.MEDIA_GONE)
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet", media=[uploaded()])
    bus.link(source, target)
    bus.settle()
    assert bus.now(source).state is State.TEMPORARY
    assert bus.now(target) == target
    failed = last(bus.of(source), LinkFailed)
    assert (failed.reason, failed.message) == ("media_gone", LinkFailure.MEDIA_GONE.message)
    assert failed.media_ids == [ids.copy_id(failed.link_id, ids.media_id(PLUMBER, "request-2", 1))]
    bus.copy_part = linking.import_of
    assert accepted(bus.link(source, target))
    bus.settle()
    assert bus.now(source).state is State.CANCELLED


def test_a_target_that_is_cancelled_meanwhile_takes_nothing(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.ask(target, "cancel-claim", INSURER)
    bus.settle()
    assert bus.now(source).state is State.TEMPORARY
    assert bus.now(target).tasks == ()
    assert last(bus.of(source), LinkFailed).reason == "target_not_linkable"


@pytest.mark.parametrize("import_first", [True, False])
def test_of_an_import_and_a_giving_up_the_target_takes_the_first(bus: Bus, import_first: bool) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    part = bus.to_linking.popleft()
    both: list[LinkStep] = [linking.import_of(part), linking.give_up(part, LinkFailure.STORE_AWAY)]
    first, second = both if import_first else both[::-1]
    assert bus.decide(Step(first, target.id, bus.at, "link")).follow_ups
    assert bus.decide(Step(second, target.id, bus.at, "link")).follow_ups == ()
    bus.settle()
    assert bus.now(source).state is (State.CANCELLED if import_first else State.TEMPORARY)
    assert len(bus.now(target).tasks) == (2 if import_first else 0)


# Who learns of the other claim (rule 10)


def test_who_may_not_see_the_other_claim_does_not_learn_of_it(bus: Bus) -> None:
    source = bus.create(tasks=[INSPECTION])  # the plumber's, who has no task of its own
    target = bus.register("SK-1")
    bus.ask(target, "assign-task", INSURER, kind="first_aid", office=GLAZIER_OFFICE)
    bus.link(source, target)
    bus.settle()
    assert last(bus.of(source), LinkStarted).see_other_claim == [INSURER]
    assert last(bus.of(source), ClaimLinked).see_other_claim == sorted([INSURER, SURVEYOR])
    imported = last(bus.of(target), ContentImported)
    assert GLAZIER in imported.audience
    assert imported.see_other_claim == sorted([INSURER, PLUMBER, SURVEYOR])


def test_who_saw_the_target_only_through_the_link_sees_it_no_more(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    bus.unlink(source)
    bus.settle()
    withdrawn = last(bus.of(target), ContentWithdrawn)
    assert (withdrawn.audience, withdrawn.audience_after) == (sorted([INSURER, PLUMBER, SURVEYOR]), [INSURER])
    assert bus.now(target).audience == [INSURER]


# Late reports (rule 17)


def test_what_is_reported_while_the_claim_is_linked_goes_after_it(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "before")
    bus.link(source, target)
    meanwhile = bus.report(source, "meanwhile", media=[uploaded()])
    assert accepted(meanwhile).redirected_to is None
    bus.settle()
    assert texts_on(target, bus.events) == ["before", "meanwhile"]
    assert [e.part for e in bus.of(target) if isinstance(e, ContentImported)] == [1, 2]
    assert len(bus.now(target).tasks) == 2


def test_what_is_reported_after_the_link_goes_to_the_target_and_its_outcome_says_so(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    late = bus.report(source, "late", n=1)
    assert accepted(late).redirected_to == target.id
    bus.settle()
    assert texts_on(target, bus.events) == ["late"]
    assert last(bus.of(target), ContentImported).actor.company == SURVEYOR


def test_a_late_report_reaches_a_target_that_was_cancelled_too(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    bus.ask(target, "cancel-claim", INSURER)
    bus.report(source, "late")
    bus.settle()
    assert texts_on(target, bus.events) == ["late"]


def test_a_claim_that_the_insurer_took_out_takes_no_report(bus: Bus) -> None:
    source = bus.source()
    bus.ask(source, "cancel-claim", INSURER)
    assert code_of(bus.report(source, "late")) is Code.ALREADY_CANCELLED


def test_a_budget_is_approved_on_a_linked_claim_so_that_reports_go_on(bus: Bus) -> None:
    source, target = bus.create(tasks=[INSPECTION], facts=facts(needs_budget=True)), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    assert code_of(bus.report(source, "late")) is Code.BUDGET_MISSING
    task = str(source.tasks[0].task_id)
    assert accepted(bus.ask(source, "approve-budget", INSURER, task_id=task, amount="1", currency="NOK"))
    assert accepted(bus.report(source, "late")).redirected_to == target.id
    bus.settle()
    assert texts_on(target, bus.events) == ["late"]


# Taking a link back


def test_a_link_is_taken_back_with_everything_reported_since(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "before", media=[uploaded(1)])
    bus.link(source, target)
    bus.settle()
    bus.report(source, "late")
    bus.settle()
    at_target = uploaded(2, company=SURVEYOR)
    bus.report(target, "at the target", n=1, media=[at_target], finished=True)
    assert accepted(bus.unlink(source))
    bus.settle()
    after = bus.now(source)
    assert after.state is State.TEMPORARY
    assert after.link is None
    assert texts_on(source, bus.events) == ["at the target", "before", "late"]
    assert texts_on(target, bus.events) == []
    assert bus.now(target).tasks == ()
    assert bus.now(target).audience == [INSURER]
    assert after.tasks[1].finished
    withdrawn = last(bus.of(target), ContentWithdrawn)
    assert withdrawn.media_ids == [ids.copy_id(withdrawn.link_id, ids.media_id(PLUMBER, "request-2", 1))]
    (returned,) = last(bus.of(source), ClaimUnlinked).tasks
    (report,) = returned.reports
    assert [media.stored_as for media in report.media] == [UUID(int=2)]


def test_a_claim_that_was_unlinked_is_linked_again_with_all_of_it(bus: Bus) -> None:
    source, one, other = bus.source(), bus.register("SK-1", "one"), bus.register("SK-2", "other")
    bus.report(source, "before")
    bus.link(source, one)
    bus.settle()
    bus.report(one, "at the first")
    bus.unlink(source)
    bus.settle()
    bus.link(source, other)
    bus.settle()
    assert texts_on(other, bus.events) == ["at the first", "before"]
    assert texts_on(one, bus.events) == []


def test_a_part_that_comes_after_its_link_was_taken_back_is_not_taken(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    bus.report(source, "late")
    bus.unlink(source)
    late = bus.to_linking.popleft()
    bus.settle()
    bus.to_linking.append(late)
    bus.settle()
    assert bus.now(target).tasks == ()
    assert bus.now(source).state is State.TEMPORARY
    assert texts_on(source, bus.events) == ["late"]


def test_a_link_is_taken_back_only_within_the_insurers_days(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    end = TUESDAY_EVENING + timedelta(days=30)
    assert code_of(bus.unlink(source, at=end + timedelta(microseconds=1))) is Code.TOO_LATE_TO_UNLINK
    assert accepted(bus.unlink(source, at=end))


def test_only_a_linked_claim_is_unlinked_and_only_once(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    assert code_of(bus.unlink(source)) is Code.NOT_LINKED
    bus.link(source, target)
    assert code_of(bus.unlink(source)) is Code.NOT_LINKED
    bus.settle()
    bus.unlink(source)
    assert code_of(bus.unlink(source)) is Code.NOT_LINKED
    bus.settle()
    assert code_of(bus.unlink(source)) is Code.NOT_LINKED


# Media of a report


@pytest.mark.parametrize(
    ("file", "code", "field"),
    [
        (uploaded(key="forged"), Code.MEDIA_MISSING, "key"),
        (uploaded(key=uploaded()["key"].replace(".", "x.")), Code.MEDIA_MISSING, "key"),
        (uploaded(company=SURVEYOR), Code.MEDIA_NOT_ALLOWED, "key"),
        (uploaded(size=7), Code.MEDIA_MISMATCH, "size"),
        (uploaded(sha256="0" * 64), Code.MEDIA_MISMATCH, "sha256"),
        (uploaded(content_type="image/png"), Code.MEDIA_MISMATCH, "content_type"),
    ],
)
def test_a_file_that_is_not_the_senders_upload_is_refused(bus: Bus, file: Json, code: Code, field: str) -> None:
    source = bus.source()
    outcome = code_of(decided := bus.report(source, "Pumpet", media=[uploaded(9), file]))
    assert outcome is code
    assert decided.outcome.details[0].field == f"media.1.{field}"  # type: ignore[union-attr]


def test_a_report_may_call_a_files_type_as_its_announcement_did(bus: Bus) -> None:
    decided = bus.report(bus.source(), "Pumpet", media=[uploaded(content_type="IMAGE/JPG; charset=binary")])
    assert accepted(decided)
    (event,) = decided.events
    assert isinstance(event, TaskReported)
    assert [media.content_type for media in event.report.media] == ["image/jpeg"]


def test_an_upload_is_named_in_time(bus: Bus) -> None:
    source = bus.source()
    task = str(source.tasks[0].task_id)
    at = TUESDAY_EVENING + timedelta(days=7, seconds=1)
    decided = bus.ask(source, "report-task", PLUMBER, task_id=task, media=[uploaded()], at=at)
    assert code_of(decided) is Code.MEDIA_MISSING


def test_a_claim_has_at_most_5000_files_and_a_limit_of_tasks_and_text(bus: Bus) -> None:
    source = bus.source()
    full = source.tasks[0].model_copy(update={"media": 4999})
    bus.batch.claims[source.id] = source.model_copy(update={"tasks": (full, *source.tasks[1:])})
    assert code_of(bus.report(source, "x", media=[uploaded(1), uploaded(2)])) is Code.TOO_MANY_MEDIA
    assert accepted(bus.report(source, "x", media=[uploaded(1)]))
    assert accepted(bus.report(source, "a text without files"))
    long = source.tasks[0].model_copy(update={"content_bytes": 3_500_000})
    bus.batch.claims[source.id] = source.model_copy(update={"tasks": (long,)})
    assert code_of(bus.report(source, "x")) is Code.CLAIM_FULL
    longer = long.model_copy(update={"content_bytes": 4_000_001})
    bus.batch.claims[source.id] = source.model_copy(update={"tasks": (longer,)})
    assert code_of(bus.link(source, bus.register("SK-1"))) is Code.CLAIM_FULL
    bus.batch.claims[source.id] = source.model_copy(update={"tasks": source.tasks[:1] * MAX_TASKS})
    assert code_of(bus.ask(source, "assign-task", INSURER, kind="first_aid", office=SURVEYOR_OFFICE)) is Code.CLAIM_FULL


def test_a_full_claims_link_fits_into_what_we_send(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    name = "ø" * 100
    for n in range(0, 5000, 250):
        files = [uploaded(i, name=name) for i in range(n + 1, n + 251)]
        decided = bus.report(source, "t" * 30_000, media=files)
        if not decided.events:
            assert code_of(decided) is Code.CLAIM_FULL
            break
    assert accepted(bus.link(source, target))
    part = bus.to_linking[0]
    assert len(part.json_bytes()) < len(linking.import_of(part).json_bytes()) < 4 * 1024 * 1024


# Whatever the order


def races() -> Iterator[Any]:
    yield "report", lambda bus, source, target, text: bus.report(source, text)
    yield "report at the target", lambda bus, source, target, text: bus.now(target).tasks and bus.report(target, text)
    yield "link", lambda bus, source, target, text: bus.link(source, target)
    yield "unlink", lambda bus, source, target, text: bus.unlink(source)
    yield "copy", lambda bus, source, target, text: bus.to_linking and bus.copy()
    yield "step", lambda bus, source, target, text: bus.to_claims and bus.step()


@given(
    occurrences=st.lists(st.sampled_from(list(races())), min_size=4, max_size=25),
    seed=st.integers(0, 1000),
    fails=st.sets(st.integers(1, 3)),
    disputed=st.sets(st.integers(1, 3)),
)
@settings(deadline=None, max_examples=300)
def test_whatever_the_order_no_report_is_lost_or_doubled_and_no_link_is_half(
    occurrences: list[tuple[str, Any]], seed: int, fails: set[int], disputed: set[int]
) -> None:
    bus = Bus()
    parts: list[LinkRequested] = []

    def copy_part(part: LinkRequested) -> LinkStep | tuple[LinkStep, ...]:
        parts.append(part)
        link = len({p.link_id for p in parts})
        take, give_up = linking.import_of(part), linking.give_up(part, LinkFailure.STORE_AWAY)
        if part.part == 1 and link in disputed:  # two instances that come to different ends
            return take, give_up
        return give_up if part.part == 1 and link in fails else take

    bus.copy_part = copy_part
    source, target = bus.source(), bus.register("SK-1")
    taken: list[str] = []
    for n, (_, happening) in enumerate(occurrences):
        decided = happening(bus, source, target, f"{n:02}")
        if isinstance(decided, Decided) and any(isinstance(event, TaskReported) for event in decided.events):
            taken.append(f"{n:02}")
    bus.settle(Random(seed), again=0.2)
    after, into = bus.now(source), bus.now(target)
    if after.state is State.CANCELLED:
        assert texts_on(target, bus.events) == taken
        assert {t.source_task_id for t in into.tasks} == {t.task_id for t in source.tasks}
    else:
        assert after.state is State.TEMPORARY
        assert after.link is None
        assert texts_on(source, bus.events) == taken
        assert into.tasks == ()
    for claim in (source, target):
        events = bus.of(claim)
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        made: Claim | None = None
        for event in events:
            made = apply(made, CLAIM_EVENTS[event.type()].model_validate_json(event.json_bytes()))
        assert made == bus.now(claim)


def test_the_facts_of_an_unlinking_are_the_insurers_days() -> None:
    assert Facts.model_validate_json(UNLINK.json_bytes()).unlink_days == 30


def test_a_step_is_the_same_however_often_it_is_made() -> None:
    bus = Bus()
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet", media=[uploaded()])
    bus.link(source, target)
    part = bus.to_linking[0]
    assert linking.import_of(part) == linking.import_of(LinkRequested.model_validate_json(part.json_bytes()))
    assert linking.import_of(part).id == f"{part.link_id}/1/{ImportContent.NAME}"
    assert bus.at.tzinfo is UTC
