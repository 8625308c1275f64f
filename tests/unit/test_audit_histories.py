"""What the audit holds against a claim's own history, and against the directory's."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from services.claims.batch import Decided
from services.claims.claim import Claim, apply
from services.permissions.directory_rules import settle
from services.permissions.received import ReceivedRequest
from shared.audit.directory import DIRECTORY, Entry, check_directory
from shared.audit.histories import (
    AUDIENCE,
    IDS,
    REPLAY,
    VERSIONS,
    RecordedClaim,
    RecordedEvent,
    check_history,
    link_event,
    media_of,
    reports_of,
    wrong_ids,
)
from shared.contract import ids
from shared.contract.directory_events import DirectoryEvent, SettingsRequestRefused
from shared.contract.events import ClaimEvent, ContentImported, LinkStarted, TaskReported
from shared.domain.directory import Directory
from tests.builders.commands import INSURER, PLUMBER, Desk
from tests.builders.content import FIRST_AID
from tests.builders.directory import REGISTERED, REGISTRATIONS
from tests.builders.events import about
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import FJORD, VEST, asks

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds what breaks an invariant, on the topics and in the tables.", about="running"
)


def recorded(decided: Decided) -> list[RecordedEvent]:
    """A decision's events as the record has them."""
    company, request_id = decided.command.key
    return [RecordedEvent(e.version, company, request_id, e.type(), e.json_bytes()) for e in decided.events]


@pytest.fixture
def claim() -> RecordedClaim:
    """A claim with three events of a partner and its insurer."""
    desk = Desk()
    made = desk.create(tasks=[FIRST_AID])
    desk.ask(made, "report-task", PLUMBER, task_id=str(made.tasks[0].task_id), text="Pumpet")
    desk.ask(made, "assign-task", INSURER, kind="first_aid", office="takst-bergen")
    now = desk.now(made)
    history = [event for decided in desk.batch.decided.values() for event in recorded(decided)]
    row = Claim.model_validate_json(now.json_bytes())
    return RecordedClaim(now.id, now.version, now.insurer, now.state, row, history)


def broken(claim: RecordedClaim) -> set[str]:
    return {violation.invariant for violation in check_history(claim, apply)}


def rewritten(claim: RecordedClaim, version: int, change: Callable[[Any], object]) -> RecordedClaim:
    """A claim with another body of one of its events."""
    history = list(claim.history)
    body = json.loads(history[version - 1].body)
    change(body)
    history[version - 1] = replace(history[version - 1], body=json.dumps(body).encode())
    return replace(claim, history=history)


def of_request(claim: RecordedClaim, version: int, request_id: str) -> RecordedClaim:
    history = list(claim.history)
    history[version - 1] = replace(history[version - 1], request_id=request_id)
    return replace(claim, history=history)


def test_a_whole_history_breaks_nothing(claim: RecordedClaim) -> None:
    assert len(claim.history) == 3
    assert broken(claim) == set()


def test_a_hole_in_the_versions_is_found(claim: RecordedClaim) -> None:
    assert VERSIONS in broken(replace(claim, history=[claim.history[0], claim.history[2]]))
    assert VERSIONS in broken(replace(claim, history=[]))
    assert VERSIONS in broken(replace(claim, version=4))


def test_a_row_that_is_not_what_its_events_make_is_found(claim: RecordedClaim) -> None:
    assert broken(replace(claim, claim=claim.claim.model_copy(update={"policy_number": "other"}))) == {REPLAY}
    assert broken(replace(claim, claim=None)) == {REPLAY}
    assert broken(replace(claim, state="cancelled")) == {REPLAY}
    assert broken(replace(claim, insurer="another")) == {REPLAY}
    assert broken(replace(claim, version=None)) == {REPLAY}


def test_events_that_cannot_be_replayed_are_found(claim: RecordedClaim) -> None:
    assert broken(rewritten(claim, 1, lambda body: body["policyholder"].update(name="Another"))) == {REPLAY}
    assert broken(rewritten(claim, 2, lambda body: body.update(version=7))) == {REPLAY}
    assert broken(rewritten(claim, 2, lambda body: body.pop("report"))) == {REPLAY}
    assert broken(replace(claim, history=[replace(claim.history[0], type="never"), *claim.history[1:]])) == {REPLAY}


def test_ids_that_are_not_computed_are_found(claim: RecordedClaim) -> None:
    assert IDS in broken(of_request(claim, 1, "another"))
    assert IDS in broken(of_request(claim, 2, "another"))
    assert IDS in broken(of_request(claim, 3, "another"))
    other = str(UUID(int=7))
    assert IDS in broken(rewritten(claim, 1, lambda body: body["tasks"][0].update(task_id=other)))
    assert IDS in broken(rewritten(claim, 2, lambda body: body["report"].update(report_id=other)))


def test_an_audience_without_one_of_the_claim_s_companies_or_with_another_is_found(claim: RecordedClaim) -> None:
    assert len(json.loads(claim.history[2].body)["audience"]) == 3
    for version in (1, 2, 3):
        assert broken(rewritten(claim, version, lambda body: body["audience"].pop())) == {AUDIENCE}
        assert broken(rewritten(claim, version, lambda body: body["audience"].append("z-another"))) == {AUDIENCE}


def test_an_event_that_says_it_is_another_claim_s_is_found(claim: RecordedClaim) -> None:
    assert broken(rewritten(claim, 3, lambda body: body.update(claim_id=str(UUID(int=7))))) == {REPLAY}


PHOTO: dict[str, Any] = {
    "media_id": str(ids.media_id(PLUMBER, "one", 1)),
    "name": "a.jpg",
    "content_type": "image/jpeg",
    "size": 7,
}
REPORT: dict[str, Any] = {"report_id": str(ids.report_id(PLUMBER, "one")), "media": [PHOTO | {"sha256": "ab"}]}
TASK_ID, LINK_ID = UUID(int=5), ids.link_id(INSURER, "one")


def copied(id: str) -> str:
    return str(ids.copy_id(LINK_ID, UUID(id)))


def event_of(kind: type[ClaimEvent], **more: Any) -> ClaimEvent:
    """An event of a link or a report, read from JSON."""
    known = about(UUID(int=1), insurer=INSURER, company=PLUMBER)
    body = TypeAdapter(dict[str, Any]).dump_python(known, mode="json") | more
    return kind.model_validate_json(json.dumps(body, default=str))


def imported(media_id: str) -> ClaimEvent:
    """The import of the report, whose photo has this id at the target."""
    photo = PHOTO | {"sha256": "ab", "media_id": media_id, "source_media_id": PHOTO["media_id"]}
    report = {"at": TUESDAY_EVENING.isoformat(), "actor": {"company": PLUMBER}, "media": [photo]}
    report |= {"report_id": copied(REPORT["report_id"]), "source_report_id": REPORT["report_id"]}
    task = {"task_id": copied(str(TASK_ID)), "source_task_id": TASK_ID, "kind": "first_aid", "needs_budget": False}
    tasks = [task | {"office": "ror-bergen", "company": PLUMBER, "reports": [report]}]
    return event_of(ContentImported, link_id=LINK_ID, part=2, source_claim_id=UUID(int=2), tasks=tasks)


def problems(event: ClaimEvent, company: str, request_id: str) -> list[str]:
    return list(wrong_ids(event, RecordedEvent(1, company, request_id, event.type(), event.json_bytes())))


def test_ids_of_files_and_links_are_those_of_the_contract() -> None:
    reported = event_of(TaskReported, task_id=TASK_ID, report=REPORT)
    assert problems(reported, PLUMBER, "one") == []
    moved = REPORT | {"media": [PHOTO | {"sha256": "ab", "media_id": str(UUID(int=7))}]}
    assert len(problems(event_of(TaskReported, task_id=TASK_ID, report=moved), PLUMBER, "one")) == 1
    started = event_of(LinkStarted, link_id=LINK_ID, target_claim_id=UUID(int=2))
    assert problems(started, INSURER, "one") == []
    assert len(problems(started, INSURER, "two")) == 1
    assert problems(imported(copied(PHOTO["media_id"])), "claimbus", "a step") == []
    assert len(problems(imported(PHOTO["media_id"]), "claimbus", "a step")) == 1


def test_a_report_and_its_copy_are_known_for_the_same() -> None:
    reported = event_of(TaskReported, task_id=TASK_ID, report=REPORT)
    copy = imported(copied(PHOTO["media_id"]))
    ((report, files, link),) = reports_of(reported)
    ((report_copied, files_copied, link_of_copy),) = reports_of(copy)
    assert (report, files) == (report_copied, files_copied)
    assert (link, link_of_copy) == (None, str(LINK_ID))
    assert [(media.sha256, link) for event in (reported, copy) for media, link in media_of(event)] == [
        ("ab", None),
        ("ab", str(LINK_ID)),
    ]
    assert link_event(copy) == (str(LINK_ID), "imported", 2)
    assert link_event(reported) is None


def directory_history() -> tuple[list[Entry], dict[tuple[str, str], ReceivedRequest]]:
    """What registers some companies, each message a second behind its request, and the requests."""
    directory, entries, requests = Directory(), [], {}
    asked = [*(("operator", *each) for each in REGISTRATIONS), (VEST, "set-portal-settings", {"country": "NO"})]
    for number, (company, name, body) in enumerate(asked):
        at = REGISTERED + timedelta(seconds=2 * number)
        received = asks(company, name, body, at=at, id=f"request-{number}")
        event = settle(directory, received)
        directory.apply(event, at + timedelta(seconds=1))
        entries.append((event, at + timedelta(seconds=1)))
        requests[company, f"request-{number}"] = received
    return entries, requests


def wrong(entries: Sequence[Entry], requests: dict[tuple[str, str], ReceivedRequest]) -> list[str]:
    def request_of(event: DirectoryEvent) -> ReceivedRequest | None:
        return requests.get((event.company, event.request_id))

    found = list(check_directory(entries, request_of, settle))
    assert {violation.invariant for violation in found} <= {DIRECTORY}
    return [violation.about for violation in found]


def test_the_directory_s_own_decisions_are_made_again() -> None:
    entries, requests = directory_history()
    assert isinstance(entries[-1][0], SettingsRequestRefused)
    assert wrong(entries, requests) == []
    # without the insurer, its office and its user should have been refused
    assert wrong(entries[1:], requests) == ["operator/request-7", "operator/request-8"]


def test_a_refusal_that_should_have_been_none_is_found() -> None:
    entries, requests = directory_history()
    requests[VEST, "request-10"] = asks(
        FJORD, "set-portal-settings", {"country": "NO"}, at=requests[VEST, "request-10"].at, id="request-10"
    )
    assert wrong(entries, requests) == [f"{VEST}/request-10"]


def test_what_another_instance_put_in_a_moment_before_may_have_been_unknown() -> None:
    entries, requests = directory_history()
    company, user = entries[0], entries[8]
    late = user[0].requested_at + timedelta(milliseconds=1)
    refusal = settle(Directory(), requests["operator", "request-8"])  # by one that has not read of the company yet
    assert wrong([(company[0], late), (refusal, user[1])], requests) == []
    assert wrong([(company[0], user[0].requested_at), (refusal, user[1])], requests) == ["operator/request-8"]


def test_what_another_instance_put_in_a_moment_before_may_look_older_where_clocks_were_apart() -> None:
    entries, requests = directory_history()
    company, user = entries[0], entries[8]
    refusal = settle(Directory(), requests["operator", "request-8"])
    earlier = user[0].requested_at - timedelta(seconds=30)
    a_moment_before = earlier - timedelta(milliseconds=1)
    assert wrong([(company[0], earlier), (refusal, user[1])], requests) == ["operator/request-8"]
    assert wrong([(company[0], earlier), (refusal, a_moment_before)], requests) == []
