"""Who may create when: one answer, whoever asks for it, and the order of its questions (domain rules 1–7)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations import explain
from services.permissions import claim_rules, directory_rules
from services.permissions.claim_rules import check
from services.portal.viewer import Viewer, insurers_not_understood, insurers_open_to
from shared.contract.codes import Code
from shared.contract.directory_events import EVENT_OF
from shared.contract.requests import REQUESTS, DirectoryRequest
from shared.domain.companies import User
from shared.domain.creation import decide_creation
from shared.domain.directory import Directory
from shared.domain.refusal import Refused
from shared.messaging.memory import MemoryRecord
from shared.recorded_directory import apply_record
from tests.builders.directory import permitted, registered, takes_effect
from tests.builders.moments import oslo
from tests.builders.requests import (
    FJORD,
    FJORD_OSLO,
    NORD_TROMSO,
    NORDLYS,
    VEST,
    VEST_BERGEN,
    VEST_VOSS,
    asks,
    creation,
)
from tests.properties import no_deadline
from tests.unit.test_recorded_directory import about, settings_recorded, written

NOON, EVENING = oslo("2026-11-24 12:00"), oslo("2026-11-24 17:12")
UNKNOWN = "nobody"
NEWER = written("claimbus.portal-closed.v1", about())


def code(directory: Directory, insurer: str, office: str, at: datetime, **more: Any) -> Code | None:
    try:
        decide_creation(directory, insurer, office, at, **more)
    except Refused as refused:
        return refused.code
    return None


def test_the_first_question_whose_answer_is_no_decides() -> None:
    """Everything is wrong with a creation at first; then one thing after the other is mended."""
    directory = registered()
    rights = {"defines_claim_number": True, "assigned_offices": [("assigned_office", UNKNOWN)]}

    def refused(insurer: str = UNKNOWN, office: str = UNKNOWN, sender: str = VEST) -> Code | None:
        return code(directory, insurer, office, NOON, sender=sender, **rights)

    def permission(creation: str, **rights: bool) -> None:
        body = {"office": VEST_BERGEN, "creation": creation, **rights}
        takes_effect(directory, FJORD, "set-office-permission", body)

    assert refused() is Code.UNKNOWN_OFFICE
    assert refused(office=NORD_TROMSO) is Code.NOT_YOUR_OFFICE
    assert refused(office=FJORD_OSLO, sender=FJORD) is Code.UNKNOWN_OFFICE
    assert refused(office=VEST_BERGEN) is Code.UNKNOWN_INSURER
    assert refused(insurer=VEST, office=VEST_BERGEN) is Code.UNKNOWN_INSURER
    newer = registered()
    apply_record(newer, NEWER)
    assert code(newer, FJORD, VEST_BERGEN, NOON, sender=VEST, **rights) is Code.SETTINGS_NOT_UNDERSTOOD
    apply_record(directory, settings_recorded(time_zone="America/Coyhaique2"))
    assert refused(FJORD, VEST_BERGEN) is Code.NEVER_PERMITTED
    permission("outside_office_hours")
    assert refused(FJORD, VEST_BERGEN) is Code.SETTINGS_NOT_UNDERSTOOD
    takes_effect(directory, FJORD, "set-portal-settings", {"time_zone": "Europe/Oslo", "enhanced_function": True})
    assert refused(FJORD, VEST_BERGEN) is Code.INSIDE_OFFICE_HOURS
    permission("always")
    assert refused(FJORD, VEST_BERGEN) is Code.MAY_NOT_DEFINE_CLAIM_NUMBER
    permission("always", may_define_claim_number=True)
    assert refused(FJORD, VEST_BERGEN) is Code.UNKNOWN_OFFICE
    rights["assigned_offices"] = [("assigned_office", NORD_TROMSO)]
    assert refused(FJORD, VEST_BERGEN) is Code.MAY_NOT_ASSIGN_TO_OTHERS
    permission("always", may_assign_to_others=True)
    assert refused(FJORD, VEST_BERGEN) is None


@pytest.mark.parametrize("assigned", [[VEST_BERGEN], [VEST_VOSS], [VEST_BERGEN, VEST_VOSS], []])
def test_an_own_office_needs_no_right(assigned: Sequence[str]) -> None:
    offices = [("assigned_office", office) for office in assigned]
    assert code(permitted(), FJORD, VEST_BERGEN, NOON, assigned_offices=offices) is None


@settings(no_deadline, max_examples=100)
@given(
    permission=st.sampled_from(["never", "outside_office_hours", "always"]),
    messages=st.lists(st.sampled_from([NEWER, settings_recorded(time_zone="America/Coyhaique2")]), max_size=1),
    insurer=st.sampled_from([FJORD, NORDLYS, VEST, UNKNOWN]),
    office=st.sampled_from([VEST_BERGEN, VEST_VOSS, UNKNOWN]),
    at=st.sampled_from([NOON, EVENING, datetime(2025, 12, 31, tzinfo=UTC)]),
)
def test_permissions_explain_and_the_portals_button_give_the_same_answer(
    permission: str, messages: list[MemoryRecord], insurer: str, office: str, at: datetime
) -> None:
    directory = permitted(permission)
    for message in messages:
        apply_record(directory, message)
    answer = check(directory, asks(VEST, "create-temporary-claim", creation(insurer=insurer, office=office), at=at))
    refusal = answer.refusal and answer.refusal.code
    if refusal is not Code.SENDER_NOT_ALLOWED:  # asked before: is the company registered
        assert explain.decided(directory, insurer, office, at) == (refusal, answer.decision)
    viewer = viewer_at(office)
    assert (insurer in {each.id for each in insurers_open_to(viewer, directory, at)}) is (refusal is None)
    not_understood = {each.id for each, _ in insurers_not_understood(viewer, directory, at)}
    assert (insurer in not_understood) is (refusal is Code.SETTINGS_NOT_UNDERSTOOD)


def viewer_at(office: str) -> Viewer:
    company = registered().company(VEST, NOON)
    assert company is not None
    return Viewer(User("ola", VEST, "Ola", office, None, 1), company, "Europe/Oslo")


def test_every_request_has_its_check() -> None:
    about_directory = {request for request in REQUESTS.values() if issubclass(request, DirectoryRequest)}
    assert directory_rules._CHECKS.keys() == EVENT_OF.keys() == about_directory
    assert claim_rules._CHECKS.keys() == {*REQUESTS.values()} - about_directory
