"""What the audit holds against a claim's own history, and against the directory's."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.claims.batch import Decided
from services.claims.claim import Claim, apply
from services.permissions.directory_rules import settle
from services.permissions.received import ReceivedRequest
from shared.audit.directory import DIRECTORY, Entry, check_directory
from shared.audit.histories import IDS, REPLAY, VERSIONS, RecordedClaim, RecordedEvent, check_history
from shared.contract.directory_events import DirectoryEvent, SettingsRequestRefused
from shared.domain.directory import Directory
from tests.builders.commands import INSURER, PLUMBER, Desk
from tests.builders.content import FIRST_AID
from tests.builders.directory import REGISTERED, REGISTRATIONS
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
