"""What was once accepted can always be read, whatever this machine knows, and holds up nobody but its own company."""

import contextlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from services.permissions.claim_rules import check
from services.reporting.closing import periods_of
from shared.contract.codes import Code
from shared.contract.directory_events import DIRECTORY_EVENTS, NotUnderstood, read_directory_event
from shared.contract.fields import CreationPermission
from shared.contract.recorded import read_recorded
from shared.domain.clock import NotKnownHere
from shared.domain.creation import decide_creation
from shared.domain.directory import Directory
from shared.domain.refusal import Refused
from shared.domain.unknown_settings import unknown_settings, unknown_settings_by_company
from shared.errors import Misconfigured
from shared.messaging.memory import MemoryRecord
from shared.recorded_directory import apply_record
from tests.builders.directory import REGISTERED, registered, takes_effect
from tests.builders.records import record
from tests.builders.requests import BODIES, FJORD, NORDLYS, VEST, VEST_BERGEN, Json, asks
from tests.properties import no_deadline

pytestmark = pytest.mark.promise(
    "What was accepted once can be read by older and newer machines; what one does not know holds up its own insurer.",
    about="requests",
)

NIGHT = datetime(2026, 11, 24, 2, tzinfo=UTC)
COYHAIQUE = "this installation does not know the time zone America/Coyhaique2"
PARTS = {
    "company-registered": ("registered", "register-company"),
    "office-registered": ("registered", "register-office"),
    "user-registered": ("registered", "register-user"),
    "company-removed": ("removed", "remove-company"),
    "office-removed": ("removed", "remove-office"),
    "user-removed": ("removed", "remove-user"),
    "office-permission-set": ("permission", "set-office-permission"),
    "portal-settings-set": ("settings", "set-portal-settings"),
}


def written(type: str, body: Any) -> MemoryRecord:
    """A message of `directory`, as it comes from Kafka."""
    headers = [("ce_id", b"x"), ("ce_type", type.encode()), ("ce_source", b"/claimbus/permissions")]
    at_ms = int(REGISTERED.timestamp() * 1000)
    return record(topic="directory", offset=7, timestamp=at_ms, value=json.dumps(body).encode(), headers=headers)


def about(company: str = FJORD, id: str = "recorded") -> Json:
    return {"company": company, "request_id": id, "request_type": "x", "requested_at": "2026-01-01T00:00:00Z"}


def settings_recorded(company: str = FJORD, **settings: object) -> MemoryRecord:
    return written("claimbus.portal-settings-set.v1", {**about(company), "settings": settings})


def with_permission(creation: str) -> Directory:
    directory = registered()
    for insurer in (FJORD, NORDLYS):
        takes_effect(directory, insurer, "set-office-permission", {"office": VEST_BERGEN, "creation": creation})
    return directory


def create(directory: Directory, insurer: str) -> Any:
    body = {**BODIES["create-temporary-claim"], "insurer": insurer, "incident": {**_INCIDENT, "date": "2026-11-20"}}
    return check(directory, asks(VEST, "create-temporary-claim", body, at=NIGHT))


_INCIDENT = BODIES["create-temporary-claim"]["incident"]


def test_a_time_zone_that_is_not_known_here_is_read_and_refuses_only_what_needs_its_clock() -> None:
    directory = with_permission("outside_office_hours")
    apply_record(directory, settings_recorded(time_zone="America/Coyhaique2"))
    answer = create(directory, FJORD)
    assert answer.refusal.code is Code.SETTINGS_NOT_UNDERSTOOD
    assert [(detail.field, detail.problem) for detail in answer.refusal.details] == [("insurer", COYHAIQUE)]
    assert answer.decision.rule == "settings_not_understood"
    assert answer.decision.local_time == "2026-11-24T02:00:00.000+00:00[UTC]"
    assert answer.decision.explanation.en.endswith(COYHAIQUE)
    assert "kjenner ikke tidssonen America/Coyhaique2" in answer.decision.explanation.nb
    assert create(directory, NORDLYS).refusal is None


@pytest.mark.parametrize(("creation", "code"), [("always", None), ("never", Code.NEVER_PERMITTED)])
def test_what_needs_no_clock_is_decided_without_it_and_says_so(creation: str, code: Code | None) -> None:
    directory = with_permission(creation)
    apply_record(directory, settings_recorded(time_zone="America/Coyhaique2"))
    answer = create(directory, FJORD)
    assert (answer.refusal and answer.refusal.code) is code
    assert answer.decision.rule == f"{creation}_permitted"
    assert answer.decision.explanation.en.endswith(f"permission {creation}; {COYHAIQUE}")
    assert answer.facts.time_zones == ({} if code else {FJORD: "America/Coyhaique2"})


def test_what_is_not_known_here_is_told_of_its_company_alone() -> None:
    directory = with_permission("always")
    apply_record(directory, settings_recorded(time_zone="America/Coyhaique2", country="NO", subdivision="99"))
    apply_record(directory, settings_recorded(NORDLYS, country="ZZ"))
    recorded = {
        company: [text.en for text in texts] for company, texts in unknown_settings_by_company(directory, NIGHT).items()
    }
    assert recorded == {
        FJORD: [
            COYHAIQUE,
            "this installation does not know the subdivision 99 of NO, "
            "so the holidays of the whole country are counted",
        ],
        NORDLYS: ["this installation does not know the public holidays of ZZ, so none are counted"],
    }


@pytest.mark.parametrize(
    "message",
    [settings_recorded(time_zone="America/Coyhaique2"), written("claimbus.portal-closed.v1", about())],
    ids=["time zone", "newer message"],
)
def test_an_insurers_periods_are_told_up_to_what_is_not_known_here_and_the_others_go_on(message: MemoryRecord) -> None:
    directory = registered()
    message.timestamp = int(datetime(2026, 1, 20, tzinfo=UTC).timestamp() * 1000)
    apply_record(directory, message)
    periods = periods_of(directory, FJORD)
    assert [period.label for period in islice(periods, 4)] == ["2026-W01", "2026-W02", "2026-W03", "2026-W04"]
    with pytest.raises(NotKnownHere):
        next(periods)
    assert [period.label for period in islice(periods_of(directory, NORDLYS), 60)][-1] == "2027-W07"


@pytest.mark.parametrize("region", [{"subdivision": "99"}, {"country": "ZZ"}, {"holiday_categories": ["new"]}])
def test_holidays_that_are_not_known_here_are_warned_of_and_stop_nobody(region: Json) -> None:
    directory = with_permission("outside_office_hours")
    apply_record(directory, settings_recorded(**region))
    answer = create(directory, FJORD)
    assert answer.refusal is None
    assert answer.decision.rule == "before_opening"
    (warning,) = unknown_settings(directory, FJORD, NIGHT)
    assert answer.decision.explanation.en.endswith(warning.en)
    assert answer.decision.explanation.nb.endswith(warning.nb)


def test_an_unknown_subdivision_has_the_whole_countrys_holidays() -> None:
    directory = with_permission("outside_office_hours")
    apply_record(directory, settings_recorded(subdivision="99"))
    christmas = decide_creation(directory, FJORD, VEST_BERGEN, datetime(2026, 12, 25, 11, tzinfo=UTC))
    assert christmas.holiday == "Første juledag"


@pytest.mark.parametrize(
    "message",
    [
        written("claimbus.portal-closed.v1", {**about(), "until": "2027-01-01"}),
        written("claimbus.portal-settings-set.v2", {**about(), "settings": []}),
        settings_recorded(report_period="quarterly"),
        settings_recorded(office_hours={"holidays": None}),
        settings_recorded(office_hours={"mon": {"opens": "08:00:30", "closes": "16:00"}}),
        settings_recorded(special_hours={"2026-12-24": {"opens": "08:00", "closes": "noon"}}),
        written(
            "claimbus.office-permission-set.v1",
            {**about(), "permission": {"office": VEST_BERGEN, "creation": "at_night"}},
        ),
    ],
    ids=["event", "version", "period", "weekday", "hours", "special hours", "permission"],
)
def test_what_a_newer_version_set_holds_up_its_insurer_alone(message: MemoryRecord) -> None:
    directory = with_permission("always")
    apply_record(directory, message)
    answer = create(directory, FJORD)
    assert answer.refusal.code is Code.SETTINGS_NOT_UNDERSTOOD
    (detail,) = answer.refusal.details
    assert dict(message.headers)["ce_type"].decode() in detail.problem
    assert create(directory, NORDLYS).refusal is None
    assert list(unknown_settings_by_company(directory, NIGHT)) == [FJORD]
    assert directory.settled(FJORD, "recorded") is not None


def test_a_company_of_an_unknown_kind_is_not_known_and_stops_nobody() -> None:
    directory = with_permission("always")
    registration = {"id": "ny", "name": "Ny", "kind": "reinsurer"}
    apply_record(
        directory, written("claimbus.company-registered.v1", {**about("operator"), "registered": registration})
    )
    assert directory.company("ny", NIGHT) is None
    assert create(directory, FJORD).refusal is None
    assert list(unknown_settings_by_company(directory, NIGHT)) == ["operator"]


def test_a_user_whom_an_insurer_registered_elsewhere_and_is_not_understood_holds_up_nobody() -> None:
    directory = with_permission("always")
    user = {**BODIES["register-user"], "id": "ny", "company": FJORD, "authorisation_level": "chief"}
    apply_record(directory, written("claimbus.user-registered.v1", {**about(), "registered": user}))
    assert directory.user("ny", NIGHT) is None
    assert create(directory, FJORD).refusal is None
    assert list(unknown_settings_by_company(directory, NIGHT)) == ["operator"]


def test_a_refusal_with_an_unknown_code_is_a_refusal_and_holds_up_nobody() -> None:
    directory = with_permission("always")
    apply_record(directory, written("claimbus.settings-request-refused.v1", {**about(), "code": "too_warm"}))
    answer = directory.settled(FJORD, "recorded")
    assert answer is not None
    assert answer.code is Code.INVALID_REQUEST
    assert create(directory, FJORD).refusal is None


def test_a_message_of_nobody_stops_the_service() -> None:
    bodies: list[object] = [[], {"company": FJORD}, {**about(), "requested_at": "yesterday"}]
    for body in bodies:
        with pytest.raises(Misconfigured):
            apply_record(Directory(), written("claimbus.portal-settings-set.v1", body))


def recorded(name: str, body: Json) -> tuple[str, Json]:
    part, _ = PARTS[name]
    return f"claimbus.{name}.v1", {**about(), part: body}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_what_is_accepted_is_read_as_it_is(name: str) -> None:
    type, event = recorded(name, BODIES[PARTS[name][1]])
    body = json.dumps(event).encode()
    assert read_directory_event(type, body) == DIRECTORY_EVENTS[type].model_validate_json(body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("company-registered", {"id": "Ny AS", "name": "", "kind": "operator", "token_sha256": "x"}),
        ("office-registered", {"id": "", "company": "Æ", "name": "x" * 500}),
        ("user-registered", {"id": "A B", "company": "", "name": "", "email": "øy@b", "authorisation_level": 77}),
        ("office-permission-set", {"office": "?", "creation": "always"}),
        ("portal-settings-set", {}),
        ("portal-settings-set", {"time_zone": "", "country": "norge", "subdivision": "", "unlink_days": -1}),
        ("portal-settings-set", {"office_hours": {"mon": {"opens": "16:00", "closes": "08:00"}}}),
        ("portal-settings-set", {"holiday_categories": ["x" * 300] * 200}),
    ],
)
def test_a_value_that_no_request_may_have_any_longer_is_still_read(name: str, body: Json) -> None:
    type, event = recorded(name, body)
    read = read_directory_event(type, json.dumps(event).encode())
    assert not isinstance(read, NotUnderstood)
    directory = registered()
    directory.apply(read, REGISTERED)
    assert directory.settled(FJORD, "recorded") is not None


def _refuse(value: object) -> Any:
    raise ValueError(f"not {value}")


class Strict(BaseModel):
    """A model of a later version, which judges in every way that pydantic has."""

    name: Annotated[str, AfterValidator(str.upper), AfterValidator(_refuse)]
    day: Annotated[date, BeforeValidator(_refuse)]
    many: Annotated[list[Annotated[int, Field(gt=5)]], Field(max_length=1)]

    @field_validator("name", mode="after")
    @classmethod
    def _judge(cls, value: str, info: ValidationInfo) -> str:
        raise ValueError(f"{info.field_name} may not be {value}")

    @model_validator(mode="after")
    def _judge_it_all(self) -> "Strict":
        raise ValueError("no")


def test_a_recorded_message_is_put_into_order_and_not_judged_whatever_judges_it() -> None:
    read = read_recorded(Strict, b'{"name": "vest", "day": "2027-02-03", "many": [1, 2]}')
    assert (read.name, read.day, read.many) == ("VEST", date(2027, 2, 3), [1, 2])
    with pytest.raises(ValidationError):
        read_recorded(Strict, b'{"name": "vest", "day": "soon", "many": [1, 2]}')


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)


@no_deadline
@given(st.sampled_from(sorted(PARTS)), st.data())
def test_whatever_stands_in_a_field_no_message_of_a_company_stops_the_service(name: str, data: st.DataObject) -> None:
    type, event = recorded(name, json.loads(json.dumps(BODIES[PARTS[name][1]])))
    part = event[PARTS[name][0]]
    field = data.draw(st.sampled_from([*part, "new"]))
    part[field] = data.draw(scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2))
    read = read_directory_event(type, json.dumps(event).encode())
    directory = with_permission("outside_office_hours")
    directory.apply(read, REGISTERED)
    with contextlib.suppress(Refused):
        decide_creation(directory, FJORD, VEST_BERGEN, NIGHT)
    if directory.office(VEST_BERGEN, NIGHT) is not None:  # else it is what was removed
        assert decide_creation(directory, NORDLYS, VEST_BERGEN, NIGHT)
    assert unknown_settings_by_company(directory, NIGHT).keys() <= {FJORD, "operator"}


ON_AN_OLDER_MACHINE = """
import sys
sys.modules["tzdata"] = None  # as if it were not installed
import json, zoneinfo
assert not zoneinfo.available_timezones()
from datetime import UTC, date, datetime
from itertools import islice
from tests.unit.test_recorded_directory import *

directory = with_permission_by_hand(sys.argv[1])
answer = create(directory, FJORD)
print(json.dumps([answer.refusal and answer.refusal.code, answer.decision.rule, answer.decision.explanation.en]))
"""


def with_permission_by_hand(creation: str) -> Directory:
    """Apply what another machine accepted."""
    directory = registered()
    permission = {"office": VEST_BERGEN, "creation": CreationPermission(creation)}
    apply_record(directory, written("claimbus.office-permission-set.v1", {**about(id="1"), "permission": permission}))
    apply_record(directory, settings_recorded(time_zone="Europe/Oslo"))
    return directory


@pytest.mark.parametrize(
    ("creation", "code", "rule"),
    [
        ("always", None, "always_permitted"),
        ("outside_office_hours", "settings_not_understood", "settings_not_understood"),
    ],
)
def test_a_machine_without_any_time_zones_reads_everything(creation: str, code: str | None, rule: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_AN_OLDER_MACHINE, creation],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONTZPATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer[:2] == [code, rule]
    assert answer[2].endswith("this installation does not know the time zone Europe/Oslo")
