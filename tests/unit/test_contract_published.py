"""The published contract says what the code does: what it takes, what it sends, where, and to whom."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError
from pydantic_core import to_json

from shared.contract import events, linking
from shared.contract.asyncapi import asyncapi
from shared.contract.carried import CARRIED
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Facts, OfficeOfInsurer, Refusal
from shared.contract.dead_letters import DeadLetter, DeadLetterClosed, LetterAction
from shared.contract.directory_events import (
    CompanyRegistered,
    CompanyRemoved,
    OfficePermissionSet,
    OfficeRegistered,
    OfficeRemoved,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
    UserRemoved,
)
from shared.contract.envelope import outgoing
from shared.contract.fields import (
    Actor,
    Cause,
    CompanyKind,
    CreationPermission,
    Hours,
    LocalizedText,
)
from shared.contract.json_schemas import Json, schema
from shared.contract.outcomes import Decision, DecisionRule, Detail, RequestAccepted, RequestRefused
from shared.contract.published import ASYNCAPI, as_text, published
from shared.contract.reports import Created, Figures, PeriodReport, ReportReady
from shared.contract.requests import (
    REQUESTS,
    CreateTemporaryClaim,
    RegisterCompany,
    RegisterOffice,
    RegisterUser,
    RemoveCompany,
    RemoveOffice,
    RemoveUser,
    SetOfficePermission,
    SetPortalSettings,
)
from shared.contract.suggestions import LinkSuggested, Reason, Suggestion, SuggestionReason
from shared.contract.topics import TOPICS
from tests.builders.content import MEDIA, incident, policyholder
from tests.builders.events import about, task
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import CLAIM, FULL, TASK

BODIES = FULL | {
    "create-temporary-claim": FULL["create-temporary-claim"] | {"policy_number": None},
    "set-portal-settings": FULL["set-portal-settings"] | {"subdivision": None},
}
"""A body for each request, in two of which a field is said to be empty."""

_claim, _task = UUID(CLAIM), UUID(TASK)
_actor = Actor(company="vest-skadeservice")
_event = about(_claim)
_assigned = dict(task(id=_task))
_file: dict[str, Any] = {"media_id": _task, "name": "tak.jpg", "content_type": "image/jpeg", "size": 5, "sha256": "0"}
_imported = events.ImportedTask(
    **_assigned,
    source_task_id=_task,
    reports=[
        events.ImportedReport(
            report_id=_task,
            source_report_id=_task,
            media=[events.ImportedMedia(**_file, source_media_id=_task)],
            at=TUESDAY_EVENING,
            actor=_actor,
        )
    ],
)
_about: dict[str, Any] = {
    "request_id": "1",
    "company": "fjord-forsikring",
    "request_type": "claimbus.set-portal-settings.v1",
    "requested_at": TUESDAY_EVENING,
}
_two: dict[str, Any] = {"see_other_claim": ["fjord-forsikring"]}
_link: dict[str, Any] = {
    "link_id": _claim,
    "part": 1,
    "source_claim_id": _claim,
    "target_claim_id": _task,
    "source_audience": ["vest"],
}
_numbered: dict[str, Any] = {"claim_number": "2026-17", "incident": incident(), "policyholder": policyholder()}
_decision = Decision(
    rule=DecisionRule.AFTER_CLOSING,
    creation_permission=CreationPermission.OUTSIDE_OFFICE_HOURS,
    local_time="2026-11-24T17:12:00.000+01:00[Europe/Oslo]",
    inside_office_hours=False,
    office_hours=Hours(opens="08:00", closes="16:00"),
    explanation=LocalizedText(nb="Stengt.", en="Closed."),
)
_figures: dict[str, Any] = {
    "insurer": "fjord-forsikring",
    "period": "2026-W47",
    "from_": TUESDAY_EVENING,
    "to": TUESDAY_EVENING,
    "preliminary": False,
    "closed_at": TUESDAY_EVENING,
}

SENT: list[Any] = [
    RequestAccepted(**_about, claim_id=_claim, task_ids=[_task], decision=_decision),
    RequestAccepted(**_about, effective_at=TUESDAY_EVENING),
    RequestRefused(**_about, code=Code.UNKNOWN_CLAIM, message=Code.UNKNOWN_CLAIM.message),
    events.TemporaryClaimCreated(
        **_event,
        **_numbered,
        company="vest-skadeservice",
        office="vest-bergen",
        tasks=[events.Task(**_assigned)],
        inside_office_hours=False,
        time_zone="Europe/Oslo",
    ),
    events.ClaimRegistered(**_event, **_numbered, handler="kari-holm", time_zone="Europe/Oslo"),
    events.TaskAssigned(**_event, **_numbered, task=events.Task(**_assigned)),
    events.TaskReported(
        **_event, task_id=_task, report=events.Report(report_id=_task, media=[events.ReportedMedia(**_file)])
    ),
    events.BudgetApproved(**_event, task_id=_task, amount="1", currency="NOK"),
    events.ClaimConverted(**_event, claim_number="2026-17", previous_claim_number="Midlertidig 1", handler="kari-holm"),
    events.ClaimAmended(
        **_event, before=events.ClaimContent(policy_number="1"), after=events.ClaimContent(policy_number="2")
    ),
    events.ClaimCancelled(**_event),
    events.ClaimRedacted(**_event, media_ids=[_task]),
    events.LinkStarted(**_event, **_two, link_id=_claim, target_claim_id=_task),
    events.LinkFailed(**_event, **_two, link_id=_claim, target_claim_id=_task, reason="The target was cancelled."),
    events.ClaimLinked(**_event, **_two, link_id=_claim, target_claim_id=_task),
    events.ContentImported(**_event, **_two, link_id=_claim, part=1, source_claim_id=_task, tasks=[_imported]),
    events.UnlinkStarted(**_event, **_two, link_id=_claim, target_claim_id=_task),
    events.ContentWithdrawn(
        **_event, **_two, seen_from_now_on_by=[], link_id=_claim, source_claim_id=_task, task_ids=[_task]
    ),
    events.ClaimUnlinked(**_event, **_two, link_id=_claim, target_claim_id=_task, tasks=[_imported]),
    linking.LinkRequested(
        **_link,
        tasks=[
            linking.LinkedTask(
                **_assigned, reports=[linking.LinkedReport(report_id=_task, at=TUESDAY_EVENING, actor=_actor)]
            )
        ],
    ),
    linking.ImportContent(**_link, tasks=[_imported]),
    linking.GiveUpImport(**_link, reason="The store is away."),
    linking.FinishLink(**_link),
    linking.AbandonLink(**_link, reason="The target was cancelled."),
    linking.WithdrawContent(**_link),
    linking.FinishUnlink(**_link, tasks=[_imported]),
    CheckedRequest(
        **_about,
        claim_id=_claim,
        request=CreateTemporaryClaim.model_validate_json(to_json(BODIES["create-temporary-claim"])),
        decision=_decision,
        facts=Facts(
            time_zones={"fjord-forsikring": "Europe/Oslo"},
            may_assign_to_others=[OfficeOfInsurer(insurer="fjord-forsikring", office="vest-bergen")],
        ),
    ),
    CheckedRequest(**_about, claim_id=_claim, refusal=Refusal(code=Code.UNKNOWN_OFFICE)),
    CompanyRegistered(**_about, registered=RegisterCompany(id="vest", name="Vest", kind=CompanyKind.PARTNER)),
    OfficeRegistered(**_about, registered=RegisterOffice(id="vest-bergen", company="vest", name="Bergen")),
    UserRegistered(
        **_about, registered=RegisterUser(id="ola-vik", company="vest", name="Ola Vik", authorisation_level=2)
    ),
    CompanyRemoved(**_about, removed=RemoveCompany(id="vest")),
    OfficeRemoved(**_about, removed=RemoveOffice(id="vest-bergen", company="vest")),
    UserRemoved(**_about, removed=RemoveUser(id="ola-vik", company="vest")),
    OfficePermissionSet(
        **_about, permission=SetOfficePermission(office="vest-bergen", creation=CreationPermission.ALWAYS)
    ),
    PortalSettingsSet(
        **_about,
        actor=None,
        settings=SetPortalSettings(subdivision=None, special_hours={date(2026, 12, 24): None}),
    ),
    SettingsRequestRefused(**_about, code=Code.INVALID_REQUEST, details=[Detail(field="country", problem="is wrong")]),
    LinkSuggested(
        claim_id=_claim,
        insurer="fjord-forsikring",
        at=TUESDAY_EVENING,
        revision=1,
        suggestions=[
            Suggestion(
                claim_id=UUID(TASK),
                claim_number="2026-17",
                score=93,
                reasons=[
                    SuggestionReason(code=Reason.SAME_PHONE, message=Reason.SAME_PHONE.message()),
                    SuggestionReason(code=Reason.CLOSE_IN_TIME, message=Reason.CLOSE_IN_TIME.message(2), days=2),
                ],
            )
        ],
    ),
    LinkSuggested(claim_id=_claim, insurer="fjord-forsikring", at=TUESDAY_EVENING, revision=2, suggestions=[]),
    DeadLetter(
        source_topic="claim-events",
        partition=0,
        offset=17,
        appended_at=TUESDAY_EVENING,
        service="delivery",
        reason="it has no ce_id",
        headers=[("ce_type", b"eA==")],
        value=b"AA==",
    ),
    DeadLetterClosed(letter="claim-events/0/17", action=LetterAction.REPLAYED),
    ReportReady(
        insurer="fjord-forsikring",
        period="2026-W47",
        time_zone="Europe/Oslo",
        read_up_to={"claim-events": [0, 17]},
        report=PeriodReport(
            **_figures, created=Created(total=1, by_cause={Cause.WATER: 1}), previous=Figures(**_figures)
        ),
    ),
    ReportReady(
        insurer="fjord-forsikring",
        period="2026-W47",
        time_zone="Europe/Oslo",
        read_up_to={},
        report=PeriodReport(**_figures, short=True),
    ),
]
"""Each message that we send, some of them in two forms."""


def complaints(message: type[Any], body: Any) -> list[str]:
    validator = Draft202012Validator(schema(message), format_checker=FormatChecker())
    return [f"{error.json_path} {error.message}" for error in validator.iter_errors(body)]


def body_of(request: type[Any]) -> Json:
    return BODIES[request.NAME]


def accepts(request: type[Any], body: Json) -> bool:
    try:
        request.model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True


every_request = pytest.mark.parametrize("request_type", REQUESTS.values(), ids=lambda request: request.NAME)
every_message_we_send = pytest.mark.parametrize("message", SENT, ids=lambda message: message.NAME)


def test_every_message_of_the_contract_is_tried_here() -> None:
    carried = {message.type() for carried in CARRIED for message in carried.messages}
    assert carried == {message.type() for message in SENT} | {f"claimbus.{name}.v1" for name in BODIES}
    assert carried >= linking.STEPS_FOR_CLAIMS.keys()


@every_request
def test_a_request_that_we_take_is_one_by_its_schema(request_type: Any) -> None:
    assert accepts(request_type, body_of(request_type))
    assert complaints(request_type, body_of(request_type)) == []


@every_request
def test_a_request_without_a_field_is_refused_by_its_schema_when_we_refuse_it(request_type: Any) -> None:
    optional_together = {"amend-claim": "policyholder", "link-claim": "target_claim_number"}
    for name in body_of(request_type).keys() - {optional_together.get(request_type.NAME)}:
        body = {key: value for key, value in body_of(request_type).items() if key != name}
        assert accepts(request_type, body) == (complaints(request_type, body) == []), name


@pytest.mark.parametrize(
    ("name", "field", "wrong"),
    [
        ("create-temporary-claim", "insurer", "Fjord Forsikring"),
        ("create-temporary-claim", "tasks", [{"kind": "demolition"}]),
        ("assign-task", "claim_id", "17"),
        ("approve-budget", "amount", 12000.5),
        ("approve-budget", "currency", "kroner"),
        ("set-portal-settings", "office_hours", {"monday": None}),
        ("set-portal-settings", "special_hours", {"24 December": None}),
        ("register-company", "kind", "operator"),
        ("register-user", "authorisation_level", 7),
        ("report-task", "media", [{**MEDIA, "size": 0}]),
    ],
)
def test_a_value_that_we_refuse_is_refused_by_the_schema(name: str, field: str, wrong: Any) -> None:
    request_type = REQUESTS[f"claimbus.{name}.v1"]
    body = {**BODIES[name], field: wrong}
    assert not accepts(request_type, body)
    assert complaints(request_type, body)


def test_an_unknown_field_of_a_request_is_ignored_by_its_schema_too() -> None:
    for request_type in REQUESTS.values():
        assert complaints(request_type, {**body_of(request_type), "colour": "blue"}) == []


@every_message_we_send
def test_what_we_send_is_as_its_schema_says(message: Any) -> None:
    assert complaints(type(message), json.loads(message.json_bytes())) == []


@every_message_we_send
def test_what_the_schema_says_is_always_there_is_required(message: Any) -> None:
    body = json.loads(message.json_bytes())
    for name in schema(type(message))["required"]:
        assert complaints(type(message), {key: value for key, value in body.items() if key != name}), name


def test_a_default_is_written_so_receivers_can_count_on_it() -> None:
    report = schema(events.TaskReported)["$defs"]["Report"]
    assert set(report["required"]) == {"report_id", "media", "finished"}
    assert schema(events.ClaimRegistered)["$defs"]["Address"]["required"] == [
        "street",
        "postal_code",
        "city",
        "country",
    ]


def test_what_is_absent_is_left_out_and_never_null() -> None:
    body = json.loads(SENT[0].json_bytes())
    assert complaints(RequestAccepted, body) == []
    assert complaints(RequestAccepted, {**body, "redirected_to": None})


def test_an_event_is_as_its_schema_says_with_and_without_its_audience() -> None:
    for message in SENT:
        if isinstance(message, events.ClaimEvent):
            body = json.loads(message.json_bytes())
            assert body.pop("audience")
            assert complaints(type(message), body) == []


def test_each_refusal_code_has_its_sentences_in_the_schema() -> None:
    code = schema(RequestRefused)["$defs"]["Code"]
    assert code["enum"] == list(Code)
    assert code["x-sentences"]["unknown_claim"] == {
        "nb": "Saken finnes ikke, eller er ikke tilgjengelig for selskapet.",
        "en": "The claim does not exist, or is not available to the company.",
    }
    assert code["x-sentences"].keys() == set(Code)


def test_docstrings_are_the_descriptions() -> None:
    accepted = schema(RequestAccepted)
    assert accepted["description"] == "The request took effect."
    assert "append time" in accepted["properties"]["requested_at"]["description"]


def test_schemas_are_self_contained_and_valid() -> None:
    for name, document in published().items():
        if name != ASYNCAPI:
            Draft202012Validator.check_schema(document)
            assert "$id" not in as_text(document)
            for target in references(document):
                assert resolve(target, document), (name, target)


def references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if "$ref" in document:
            yield document["$ref"]
        for part in document.values():
            yield from references(part)
    elif isinstance(document, list):
        for part in document:
            yield from references(part)


def resolve(reference: str, document: Any) -> bool:
    """Whether a reference within the document leads somewhere; `{}` is somewhere too."""
    for step in reference.removeprefix("#/").split("/"):
        if step not in document:
            return False
        document = document[step]
    return True


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    files = published()
    targets = set(references(files[ASYNCAPI]))
    for target in targets:
        if target.startswith("#"):
            assert resolve(target, files[ASYNCAPI]), target
        else:
            assert target.removeprefix("./") in files
    assert {target.removeprefix("./") for target in targets if target.startswith("./")} == files.keys() - {ASYNCAPI}


def test_each_topic_is_a_channel_with_its_key_and_settings() -> None:
    channels = asyncapi()["channels"]
    assert {channel["address"] for channel in channels.values()} == {topic.of("{company}") for topic in TOPICS}
    assert channels["requests"]["address"] == "requests.{company}"
    assert "company" in channels["requests"]["parameters"]
    directory = channels["directory"]
    assert directory["x-key"] == "company, office or user id"
    assert directory["bindings"]["kafka"]["partitions"] == 1
    assert directory["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == -1
    for topic in TOPICS:
        configured = channels[topic.prefix.rstrip(".")]["bindings"]["kafka"]["topicConfiguration"]
        assert {key: str(value) for key, value in configured.items()} == {
            **topic.config(),
            "cleanup.policy": "['delete']",
        }


def test_each_writer_of_a_topic_writes_some_message_of_it() -> None:
    for topic in TOPICS:
        writers = {user for carried in CARRIED if carried.topic == topic for user in carried.written_by}
        assert writers - {"operator"} == set(topic.written_by), topic.name


def test_a_company_sends_requests_and_receives_outcomes_and_events_and_nothing_else() -> None:
    operations = asyncapi()["operations"]
    company = {name: operation for name, operation in operations.items() if name.startswith("company.")}
    assert company.keys() == {"company.send.requests", "company.receive.events"}
    assert len(company["company.send.requests"]["messages"]) == len(REQUESTS)
    reply = company["company.send.requests"]["reply"]
    assert [each["$ref"].rpartition("/")[2] for each in reply["messages"]] == [
        "request-accepted.v1",
        "request-refused.v1",
    ]


def test_the_messages_of_an_operation_are_messages_of_its_channel() -> None:
    for operation in asyncapi()["operations"].values():
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


def test_our_headers_are_as_the_document_says() -> None:
    headers = asyncapi()["components"]["messageTraits"]["ours"]["headers"]
    sent = outgoing(
        "claim-events",
        CLAIM,
        events.ClaimCancelled(**_event),
        id="1",
        source="claims",
        cause="2",
        subject=CLAIM,
        trace=(),
    )
    written = {name: value.decode() for name, value in sent.headers}
    assert list(Draft202012Validator(headers).iter_errors(written)) == []
    assert written.keys() <= headers["properties"].keys()
    assert set(headers["required"]) == written.keys() - {"ce_subject"}
