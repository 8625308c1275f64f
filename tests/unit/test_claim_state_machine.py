"""A claim's life under random requests, valid and not: what is true of it whatever happens."""

from collections import defaultdict
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from services.claims.batch import Decided
from services.claims.claim import Claim, State, apply
from services.claims.commands import Command
from shared.contract.codes import Code
from shared.contract.commands import Facts
from shared.contract.events import (
    CLAIM_EVENTS,
    BudgetApproved,
    ClaimCancelled,
    ClaimConverted,
    ClaimEvent,
    ClaimRegistered,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.topics import OPERATOR
from shared.domain.claim_numbers import number_key
from tests.builders.commands import (
    GLAZIER,
    GLAZIER_OFFICE,
    INSURER,
    NO_CLAIM,
    NO_TASK,
    OFFICES,
    OTHER_INSURER,
    PLUMBER,
    PLUMBER_OFFICE,
    SURVEYOR,
    SURVEYOR_OFFICE,
    VALID_REQUESTS,
    Json,
    about,
    creation,
    decide_in_order,
    empty_batch,
    facts,
    registration,
)
from tests.builders.content import INCIDENT, MEDIA, POLICYHOLDER

pytestmark = pytest.mark.promise(
    "A claim's versions have no gaps and its numbers are unique, whatever is asked in whatever order.", about="claims"
)

INSURERS = st.sampled_from([INSURER, OTHER_INSURER])
ANYBODY = st.sampled_from([PLUMBER, SURVEYOR, GLAZIER, INSURER, OTHER_INSURER])
SENDERS = st.integers(0, 9) | ANYBODY
"""A number is one of the companies that may see the claim."""
ITS_INSURER_OR_ANOTHER = st.sampled_from([True, True, True, True, False])
FIRST_OFFICES = {PLUMBER: PLUMBER_OFFICE, SURVEYOR: SURVEYOR_OFFICE, GLAZIER: GLAZIER_OFFICE}
KINDS = st.sampled_from(["first_aid", "inspection"])
OFFICES_OR_NONE = st.none() | st.sampled_from(sorted(OFFICES))
NUMBERS = st.sampled_from(["SK-1", "SK-2", "SK-3", "77", "Midlertidig 77"])
DATES = st.sampled_from(["2026-11-22", "2026-11-23", "2026-11-24", "2026-11-24", "2026-11-25"])
FACTS = st.builds(
    facts,
    needs_budget=st.booleans(),
    rights=st.sets(st.tuples(INSURERS, st.sampled_from(sorted(OFFICES))), max_size=4),
)


def without_none(**fields: Any) -> Json:
    """Leave out what is not given, as a sender does."""
    return {name: value for name, value in fields.items() if value is not None}


class LifeOfClaims(RuleBasedStateMachine):
    """Sends requests that permissions would let through, and watches the claims."""

    claims = Bundle("claims")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.batch = empty_batch()
        self.requests = 0
        self.events: defaultdict[UUID, list[ClaimEvent]] = defaultdict(list)

    # What companies ask for

    @initialize(target=claims, facts=FACTS)
    def create_the_first_claim(self, facts: Facts) -> UUID:
        tasks = [{"kind": "first_aid"}, {"kind": "inspection", "office": SURVEYOR_OFFICE}]
        command = creation(self.next_id(), facts=facts, tasks=tasks)
        self.send(command)
        return command.checked.claim_id

    @rule(
        target=claims,
        company=st.sampled_from(sorted(FIRST_OFFICES)),
        insurer=INSURERS,
        number=st.none() | NUMBERS,
        assigned=OFFICES_OR_NONE,
        tasks=st.lists(st.builds(without_none, kind=KINDS, office=OFFICES_OR_NONE), max_size=3),
        day=DATES,
        facts=FACTS,
    )
    def create(self, company: str, insurer: str, day: str, facts: Facts, **optional: Any) -> Any:
        body = without_none(
            insurer=insurer,
            office=FIRST_OFFICES[company],
            claim_number=optional["number"],
            assigned_office=optional["assigned"],
            tasks=optional["tasks"],
            incident=INCIDENT | {"date": day},
        )
        return self.claim_of(creation(self.next_id(), company=company, facts=facts, **body))

    @rule(target=claims, insurer=INSURERS, number=NUMBERS, day=DATES)
    def register(self, insurer: str, number: str, day: str) -> Any:
        incident = INCIDENT | {"date": day}
        return self.claim_of(registration(number, self.next_id(), company=insurer, incident=incident))

    @rule(target=sent, claim=claims, sender=SENDERS, kind=KINDS, office=OFFICES_OR_NONE, facts=FACTS)
    def assign_task(self, claim: UUID, sender: int | str, kind: str, office: str | None, facts: Facts) -> Command:
        return self.ask(
            claim, "assign-task", self.sender(claim, sender), facts=facts, **without_none(kind=kind, office=office)
        )

    @rule(
        target=sent,
        claim=claims,
        sender=SENDERS,
        n=st.integers(0, 4),
        text=st.none() | st.just("Pumpet"),
        files=st.sampled_from([0, 0, 0, 1]),
    )
    def report_task(self, claim: UUID, sender: int | str, n: int, text: str | None, files: int) -> Command:
        body = without_none(task_id=self.task(claim, n), text=text, media=[MEDIA] * files, finished=text is None)
        return self.ask(claim, "report-task", self.sender(claim, sender), **body)

    @rule(claim=claims, n=st.integers(0, 4))
    def report_own_task(self, claim: UUID, n: int) -> None:
        tasks = self.batch.claims[claim].tasks
        if tasks:
            task = tasks[n % len(tasks)]
            self.ask(claim, "report-task", task.company, task_id=str(task.task_id), text="Pumpet")

    @rule(target=sent, claim=claims, its_own=ITS_INSURER_OR_ANOTHER, n=st.integers(0, 4))
    def approve_budget(self, claim: UUID, its_own: bool, n: int) -> Command:
        return self.ask(
            claim,
            "approve-budget",
            self.insurer(claim, its_own),
            task_id=self.task(claim, n),
            amount="1",
            currency="NOK",
        )

    @rule(target=sent, claim=claims, its_own=ITS_INSURER_OR_ANOTHER, number=NUMBERS)
    def convert(self, claim: UUID, its_own: bool, number: str) -> Command:
        return self.ask(claim, "convert-to-normal", self.insurer(claim, its_own), claim_number=number, handler="kari")

    @rule(
        target=sent,
        claim=claims,
        sender=SENDERS,
        day=st.none() | DATES,
        name=st.none() | st.just("Per Dahl"),
        policy=st.just("P-1") | st.just("P-2"),
    )
    def amend(self, claim: UUID, sender: int | str, day: str | None, name: str | None, policy: str) -> Command:
        body = without_none(
            incident=INCIDENT | {"date": day} if day else None,
            policyholder=POLICYHOLDER | {"name": name} if name else None,
            policy_number=policy,
        )
        return self.ask(claim, "amend-claim", self.sender(claim, sender), **body)

    @rule(target=sent, claim=claims, its_own=ITS_INSURER_OR_ANOTHER)
    def cancel(self, claim: UUID, its_own: bool) -> Command:
        return self.ask(claim, "cancel-claim", self.insurer(claim, its_own))

    @rule(claim=claims, reader=ANYBODY | st.just("portal"))
    def republish(self, claim: UUID, reader: str) -> None:
        self.ask(claim, "republish-claim", OPERATOR, reader=reader)

    @rule(name=st.sampled_from(sorted(VALID_REQUESTS)))
    def ask_about_a_claim_that_does_not_exist(self, name: str) -> None:
        company, body = VALID_REQUESTS[name]
        task = {"task_id": str(NO_TASK)} if name in ("report-task", "approve-budget") else {}
        self.ask(NO_CLAIM, name, company, **task, **body)

    @rule(sent=consumes(sent), name=st.sampled_from(["cancel-claim", "convert-to-normal"]))
    def send_an_id_again_with_another_body(self, sent: Command, name: str) -> None:
        before = dict(self.batch.claims), dict(self.batch.decided), dict(self.batch.numbers)
        if sent.key not in self.batch.decided:
            return  # decided in an earlier batch: the record of claims answers it
        body = without_none(claim_number="SK-9", handler="kari") if name == "convert-to-normal" else {}
        again = about(sent.checked.claim_id, name, *sent.key, **body)
        decide_in_order(self.batch, sent, again)
        assert (self.batch.claims, self.batch.decided, self.batch.numbers) == before

    @rule(target=sent)
    def save_the_batch_and_load_what_it_left(self) -> Any:
        saved = [claim.json_bytes() for claim in self.batch.claims.values()]
        loaded = {claim.id: claim for claim in map(Claim.model_validate_json, saved)}
        assert loaded == self.batch.claims
        self.batch = empty_batch(claims=loaded, numbers=dict(self.batch.numbers))
        return multiple()

    # What is true after each request

    def send(self, command: Command) -> Decided:
        checked = command.checked
        before = self.batch.claims.get(checked.claim_id)
        audience = () if before is None else (*before.audience, OPERATOR)
        decide_in_order(self.batch, command)
        decided = self.batch.decided[command.key]
        assert decided.outcome is not None
        assert (decided.outcome.company, decided.outcome.request_id) == command.key
        if isinstance(decided.outcome, RequestRefused):
            assert decided.events == ()
            assert self.batch.claims.get(checked.claim_id) == before
        if command.request is not None and hasattr(command.request, "claim_id") and checked.company not in audience:
            assert isinstance(decided.outcome, RequestRefused)
            assert decided.outcome.code is Code.UNKNOWN_CLAIM
        if before is not None and before.state is State.CANCELLED:
            assert decided.events == ()
        if isinstance(decided.outcome, RequestAccepted) and decided.republish_for is None:
            assert len(decided.events) == 1
        self.events[checked.claim_id] += decided.events
        return decided

    @invariant()
    def versions_have_no_gaps(self) -> None:
        for events in self.events.values():
            assert [event.version for event in events] == list(range(1, len(events) + 1))

    @invariant()
    def the_published_events_make_the_same_claim(self) -> None:
        for id, claim in self.batch.claims.items():
            made: Claim | None = None
            for event in self.events[id]:
                made = apply(made, CLAIM_EVENTS[event.type()].model_validate_json(event.json_bytes()))
            assert made == claim

    @invariant()
    def nothing_happens_to_a_cancelled_claim(self) -> None:
        for events in self.events.values():
            assert not any(isinstance(event, ClaimCancelled) for event in events[:-1])

    @invariant()
    def the_audience_only_grows_and_always_has_the_insurer(self) -> None:
        for id, claim in self.batch.claims.items():
            audiences = [set(event.audience) for event in self.events[id]]
            assert all(earlier <= later for earlier, later in pairwise(audiences))
            assert all(claim.insurer in audience for audience in audiences)
            assert audiences[-1] == set(claim.audience)

    @invariant()
    def the_audience_is_who_created_or_works_on_the_claim(self) -> None:
        for events in self.events.values():
            may_see: set[str | None] = set()
            for event in events:
                if isinstance(event, TemporaryClaimCreated):
                    may_see |= {event.insurer, event.company, event.assigned_company}
                    may_see |= {task.company for task in event.tasks}
                if isinstance(event, ClaimRegistered):
                    may_see |= {event.insurer}
                if isinstance(event, TaskAssigned):
                    may_see |= {event.task.company}
                assert set(event.audience) == may_see - {None}

    @invariant()
    def a_claim_number_is_one_claims_for_ever(self) -> None:
        owners: dict[tuple[str, str], UUID] = {}
        for id, events in self.events.items():
            for event in events:
                if isinstance(event, TemporaryClaimCreated | ClaimRegistered | ClaimConverted):
                    assert owners.setdefault((event.insurer, number_key(event.claim_number)), id) == id
        assert self.batch.numbers.items() >= owners.items()
        assert {(insurer, number_key(number)): id for (insurer, number), id in self.batch.numbers.items()} == owners

    @invariant()
    def only_a_temporary_claims_number_says_midlertidig(self) -> None:
        for id, claim in self.batch.claims.items():
            was_converted = any(isinstance(event, ClaimConverted | ClaimRegistered) for event in self.events[id])
            assert ("Midlertidig" in claim.claim_number) is not was_converted

    @invariant()
    def a_task_that_waits_for_a_budget_is_never_reported(self) -> None:
        for events in self.events.values():
            waiting: set[UUID] = set()
            for event in events:
                if isinstance(event, TemporaryClaimCreated):
                    waiting |= {task.task_id for task in event.tasks if task.needs_budget}
                if isinstance(event, TaskAssigned) and event.task.needs_budget:
                    waiting.add(event.task.task_id)
                if isinstance(event, BudgetApproved):
                    waiting.discard(event.task_id)
                assert not (isinstance(event, TaskReported) and event.task_id in waiting)

    # Helpers

    def next_id(self) -> str:
        self.requests += 1
        return f"request-{self.requests}"

    def ask(self, claim: UUID, name: str, company: str, **body: Any) -> Command:
        command = about(claim, name, company, self.next_id(), **body)
        self.send(command)
        return command

    def claim_of(self, command: Command) -> Any:
        """Send a creation, and return the claim that it makes, if it makes one."""
        return command.checked.claim_id if self.send(command).events else multiple()

    def sender(self, claim: UUID, sender: int | str) -> str:
        audience = self.batch.claims[claim].audience
        return sender if isinstance(sender, str) else audience[sender % len(audience)]

    def insurer(self, claim: UUID, its_own: bool) -> str:
        insurer = self.batch.claims[claim].insurer
        return insurer if its_own else ({INSURER, OTHER_INSURER} - {insurer}).pop()

    def task(self, claim: UUID, n: int) -> str:
        tasks = self.batch.claims[claim].tasks
        return str(tasks[n].task_id if n < len(tasks) else NO_TASK)


TestLifeOfClaims = LifeOfClaims.TestCase
TestLifeOfClaims.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
