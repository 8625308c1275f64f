"""A redacted claim tells of nobody, wherever it is kept, and can be counted as before (domain rule 23)."""

from collections.abc import Iterator
from inspect import get_annotations
from typing import Any, get_args

import pytest

from services.claims.claim import Claim, State, apply
from services.linking.rules import copies
from services.portal import claim_view
from services.portal.claim_view import ClaimView
from services.reporting.projection import Changes
from shared.contract.codes import Code
from shared.contract.events import CLAIM_EVENTS, ClaimEvent, ClaimRedacted, ContentImported, LinkFailed
from shared.contract.fields import Message, Personal
from shared.contract.linking import STEPS_FOR_CLAIMS, AbandonLink, ImportContent, LinkRequested
from shared.contract.redaction import redacted, redacted_json
from shared.contract.topics import OPERATOR
from tests.builders.commands import INSURER, OTHER_INSURER, PLUMBER, VALID_REQUESTS, Json, accepted, code_of, valid_body
from tests.builders.content import FIRST_AID, INCIDENT, POLICYHOLDER, incident, policyholder
from tests.unit.test_link_rules import Bus, last, uploaded

pytestmark = pytest.mark.promise("Of a redacted claim nothing is left that tells of a person.", about="claims")

KEPT: list[type[Message]] = [*CLAIM_EVENTS.values(), LinkRequested, *STEPS_FOR_CLAIMS.values(), Claim, ClaimView]
"""All that is kept of a claim's content, whole."""
NOT_PERSONAL = {
    "Actor": "company name",
    "Address": "country",
    "BudgetApproved": "task_id amount currency",
    "Claim": "state claim_number time_zone handler company office assigned_company assigned_office redacted_at version"
    " insurer id",
    "ClaimConverted": "claim_number previous_claim_number handler",
    "ClaimEvent": "claim_id version insurer at audience",
    "ClaimLinked": "link_id target_claim_id target_claim_number",
    "ClaimRedacted": "media_ids",
    "ClaimRegistered": "claim_number handler time_zone",
    "ClaimTask": "budget_approved reports media finished content_bytes link_id source_task_id",
    "ClaimUnlinked": "link_id target_claim_id",
    "ClaimView": "id version state insurer audience claim_number time_zone registered_at handler company office"
    " assigned_office assigned_company redacted_at",
    "ContentImported": "link_id part source_claim_id source_claim_number claim_number",
    "ContentWithdrawn": "seen_from_now_on_by link_id source_claim_id task_ids media_ids",
    "FinishLink": "target_claim_id target_claim_number",
    "FinishUnlink": "target_claim_id",
    "GiveUpImport": "source_claim_id reason",
    "AbandonLink": "reason",
    "ImportContent": "source_claim_id source_claim_number source_audience target_claim_id",
    "ImportedMedia": "source_media_id",
    "ImportedReport": "report_id source_report_id finished at",
    "ImportedTask": "source_task_id",
    "Incident": "date cause",
    "Link": "link_id target_claim_id linked_at waiting parts being_undone",
    "LinkFailed": "link_id target_claim_id reason media_ids",
    "LinkRequested": "source_claim_id source_claim_number source_audience target_claim_id",
    "LinkStarted": "link_id target_claim_id target_claim_number",
    "LinkStep": "link_id part",
    "LinkView": "target_claim_id linked_at being_taken_back",
    "LinkedReport": "at",
    "LocalizedText": "nb en",
    "Report": "report_id finished",
    "ReportView": "at source_claim_id",
    "ReportedMedia": "media_id content_type upload_id",
    "Task": "task_id kind office company needs_budget",
    "TaskAssigned": "claim_number",
    "TaskReported": "task_id",
    "TaskView": "assigned_at budget source_claim_id",
    "TemporaryClaimCreated": "claim_number company office assigned_office assigned_company inside_office_hours"
    " time_zone",
    "TwoClaimsEvent": "see_other_claim",
    "UnlinkStarted": "link_id target_claim_id",
    "WithdrawContent": "source_claim_id source_audience",
}
"""Fields that somebody has looked at: they tell of no policyholder, and nobody writes freely in them.

Who did something for a company (actor, handler) is what the history is for.
"""


def parts_of(annotation: Any) -> Iterator[type[Message]]:
    """The models that a field holds."""
    if isinstance(annotation, type) and issubclass(annotation, Message):
        yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def fields_of(models: list[type[Message]]) -> Iterator[tuple[type[Message], str, Any]]:
    """Every field of the models and of those that they are made of, with the model that declares it."""
    seen, left = set[type[Message]](), list(models)
    while left:
        model = left.pop()
        if model not in seen:
            seen.add(model)
            left += [part for field in model.model_fields.values() for part in parts_of(field.annotation)]
            for name, field in model.model_fields.items():
                yield next(owner for owner in model.__mro__ if name in get_annotations(owner)), name, field


def test_of_every_field_somebody_has_said_whether_it_tells_of_a_person() -> None:
    """A field that is added is marked `Personal` where it stands, or named in NOT_PERSONAL."""
    not_judged, wrongly_named = set[str](), set[str]()
    for model, name, field in fields_of(KEPT):
        is_personal = any(isinstance(mark, Personal) for mark in field.metadata)
        is_named = name in NOT_PERSONAL.get(model.__name__, "").split()
        if is_personal and is_named:
            wrongly_named.add(f"{model.__name__}.{name}")
        if not is_personal and not is_named and not any(parts_of(field.annotation)):
            not_judged.add(f"{model.__name__}.{name}")
    assert (not_judged, wrongly_named) == (set(), set())


SECRETS = ["Hemmelig", "+4799999999", "hemmelig@", "Skjult vei", "Gjemmested", "P-hemmelig", "R-hemmelig", f"{1:064x}"]
WRITTEN: Json = {
    "incident": INCIDENT
    | {
        "address": {"street": "Skjult vei 1", "postal_code": "Skjult vei", "city": "Gjemmested"},
        "description": "Hemmelig.",
    },
    "policyholder": {"name": "Hemmelig Person", "phone": "+4799999999", "email": "hemmelig@example.no"},
    "policy_number": "P-hemmelig",
}
FILES = [uploaded(1, name="Hemmelig.jpg")]


def is_open(message: Message) -> bool:
    return any(secret in message.json_bytes().decode() for secret in SECRETS)


@pytest.fixture
def bus() -> Bus:
    return Bus()


def much_of_it(bus: Bus) -> tuple[Claim, Claim]:
    """A temporary claim that went all ways there are, and the one that it is linked to."""
    source = bus.create(tasks=[FIRST_AID], partner_reference="R-hemmelig", **WRITTEN)
    target = bus.register("SK-1", **WRITTEN)
    bus.ask(
        source, "amend-claim", INSURER, **WRITTEN | {"policyholder": POLICYHOLDER}, partner_reference="R-hemmelig 2"
    )
    bus.report(source, "Hemmelig", media=FILES)
    bus.link(source, target)
    bus.settle()
    bus.report(target, "Hemmelig der", media=FILES)
    assert accepted(bus.unlink(source))
    bus.settle()
    bus.link(source, target, at=bus.at)
    bus.settle()
    bus.report(source, "Hemmelig etterpå")
    bus.settle()
    bus.ask(target, "cancel-claim", INSURER, reason="Hemmelig")
    return source, target


def replayed(history: list[ClaimEvent]) -> Claim:
    claim: Claim | None = None
    for event in history:
        claim = apply(claim, event)
    assert claim is not None
    return claim


def test_nothing_of_it_is_left_in_what_is_kept_and_it_reads_back(bus: Bus) -> None:
    source, target = much_of_it(bus)
    assert any(map(is_open, bus.events))
    for event in bus.events:
        body = redacted_json(type(event), event.json_bytes())
        assert not is_open(type(event).model_validate_json(body))
        assert redacted_json(type(event), body) == body
    for step in (follow_up.step for decided in bus.batch.decided.values() for follow_up in decided.follow_ups):
        assert not is_open(redacted(step))
        if isinstance(step, LinkRequested):
            assert list(copies(redacted(step))) == [], "sent again, it replaces no file of the target"
    for claim in (source, target):
        assert not is_open(redacted(bus.now(claim)))


def test_what_stands_for_it_is_what_a_request_could_say() -> None:
    for part in (incident(description="Vann."), policyholder(email="anne@example.no")):
        left = redacted(part)
        assert type(part).model_validate_json(left.json_bytes()) == left != part


def test_the_claim_is_what_its_redacted_events_make_of_it(bus: Bus) -> None:
    for claim in much_of_it(bus):
        accepted(bus.ask(claim, "redact-claim", OPERATOR))
        history = [redacted(event) for event in bus.of(claim)]
        assert replayed(history) == bus.now(claim)
        assert not is_open(bus.now(claim))
        seen: ClaimView | None = None
        shown: ClaimView | None = None
        for event in bus.of(claim):
            seen, shown = claim_view.apply(seen, event), claim_view.apply(shown, redacted(event))
        assert seen == shown
        assert shown is not None
        assert not is_open(shown)


def test_reports_count_it_as_before(bus: Bus) -> None:
    much_of_it(bus)
    before, after = Changes(claims={}), Changes(claims={})
    before.apply(bus.events)
    after.apply(redacted(event) for event in bus.events)
    assert before == after
    assert before.causes


def test_it_tells_which_files_are_removed_also_those_that_came_with_a_link(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet", media=[uploaded(1), uploaded(2)])
    bus.link(source, target)
    bus.settle()
    imported = [m.media_id for t in last(bus.of(target), ContentImported).tasks for r in t.reports for m in r.media]
    accepted(bus.ask(target, "redact-claim", INSURER))
    assert last(bus.of(target), ClaimRedacted).media_ids == imported
    accepted(bus.ask(source, "redact-claim", INSURER))
    assert len(last(bus.of(source), ClaimRedacted).media_ids) == 2


def test_files_that_a_link_has_taken_back_are_not_the_targets_any_more(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    bus.report(target, "Malt", media=[uploaded(1)])
    bus.unlink(source)
    bus.settle()
    accepted(bus.ask(target, "redact-claim", INSURER))
    assert last(bus.of(target), ClaimRedacted).media_ids == []


# Who may ask for it, and when


def test_a_claim_that_is_temporary_or_whose_link_is_under_way_is_needed_still(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    assert code_of(bus.ask(source, "redact-claim", INSURER)) is Code.STILL_TEMPORARY
    bus.link(source, target)
    assert code_of(bus.ask(source, "redact-claim", INSURER)) is Code.BEING_LINKED
    bus.settle()
    bus.unlink(source)
    assert code_of(bus.ask(source, "redact-claim", INSURER)) is Code.BEING_LINKED
    bus.settle()
    assert code_of(bus.ask(source, "redact-claim", OPERATOR)) is Code.STILL_TEMPORARY
    accepted(bus.ask(source, "cancel-claim", INSURER))
    accepted(bus.ask(source, "redact-claim", INSURER))


def test_another_insurer_cannot_learn_that_there_is_such_a_claim(bus: Bus) -> None:
    claim = bus.register("SK-1")
    assert code_of(bus.ask(claim, "redact-claim", OTHER_INSURER)) is Code.UNKNOWN_CLAIM


@pytest.mark.parametrize("name", [*VALID_REQUESTS, "link-claim", "unlink-claim", "redact-claim"])
def test_nothing_can_be_asked_of_it_any_more_but_to_be_sent_again(bus: Bus, name: str) -> None:
    claim = bus.source()
    accepted(bus.ask(claim, "cancel-claim", INSURER))
    accepted(bus.ask(claim, "redact-claim", INSURER))
    sender, _ = VALID_REQUESTS.get(name, (INSURER, {}))
    body = valid_body(name, claim) if name in VALID_REQUESTS else {}
    body |= {"target_claim_number": "SK-1"} if name == "link-claim" else {}
    decided = bus.ask(claim, name, sender, **body)
    if name == "republish-claim":
        accepted(decided)
    else:
        assert code_of(decided) is Code.CLAIM_REDACTED


# Links and a redacted target


def redact(bus: Bus, claim: Claim) -> None:
    accepted(bus.ask(claim, "redact-claim", INSURER))


def test_nothing_is_linked_to_a_redacted_claim(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    redact(bus, target)
    assert code_of(bus.link(source, target)) is Code.CLAIM_REDACTED


def test_a_link_whose_target_is_redacted_meanwhile_fails_and_its_copies_go(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet", media=[uploaded(1)])
    bus.link(source, target)
    redact(bus, target)
    bus.settle()
    assert bus.now(source).state is State.TEMPORARY
    assert len(last(bus.of(source), LinkFailed).media_ids) == 1
    assert not [event for event in bus.of(target) if isinstance(event, ContentImported)]


def test_a_late_report_does_not_come_into_a_redacted_target_and_its_copies_go(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.link(source, target)
    bus.settle()
    redact(bus, target)
    accepted(bus.report(source, "Hemmelig", media=FILES))
    late = bus.to_linking[0]
    bus.settle()
    step = bus.copy_part(late)
    assert isinstance(step, ImportContent)
    made = [media.media_id for task in step.tasks for report in task.reports for media in report.media]
    assert last(bus.of(target), ClaimRedacted).media_ids == made
    assert not is_open(bus.now(target))
    assert not any(is_open(event) for event in bus.of(target)[-1:])
    assert not [d for d in bus.batch.decided.values() for f in d.follow_ups if isinstance(f.step, AbandonLink)]
    bus.report(source, "Uten filer")
    before = len(bus.of(target))
    bus.settle()
    assert len(bus.of(target)) == before


def test_a_link_can_be_taken_back_from_a_redacted_target_without_what_was_reported_there(bus: Bus) -> None:
    source, target = bus.source(), bus.register("SK-1")
    bus.report(source, "Pumpet")
    bus.link(source, target)
    bus.settle()
    bus.report(target, "Hemmelig", media=FILES)
    redact(bus, target)
    assert accepted(bus.unlink(source))
    bus.settle()
    after = bus.now(source)
    assert (after.state, after.tasks[0].reports, after.tasks[0].media) == (State.TEMPORARY, 2, 0)
    assert not any(is_open(event) for event in bus.of(source))
    assert bus.batch.redacted == [target.id]


def test_a_plumber_cannot_redact(bus: Bus) -> None:
    claim = bus.source()
    accepted(bus.ask(claim, "cancel-claim", INSURER))
    assert code_of(bus.ask(claim, "redact-claim", PLUMBER)) is Code.UNKNOWN_CLAIM
