"""Which companies get a message, and what they may see of it (domain rule 10)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from services.delivery.rules import addressed
from shared.contract.codes import Code
from shared.contract.envelope import Body, Outgoing, Undecodable, outgoing
from shared.contract.events import CLAIM_EVENTS, ClaimEvent, ClaimLinked
from shared.contract.reports import PeriodReport, ReportReady
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import CLAIM_EVENTS as CLAIM_EVENTS_TOPIC
from shared.contract.topics import LINK_SUGGESTIONS, REQUEST_OUTCOMES, ReadModel
from tests.builders.commands import (
    GLAZIER,
    INSURER,
    NO_CLAIM,
    PLUMBER,
    SURVEYOR,
    SURVEYOR_OFFICE,
    Desk,
    accepted,
    creation,
    refused,
)
from tests.builders.content import FIRST_AID
from tests.builders.moments import TUESDAY_EVENING

pytestmark = pytest.mark.promise("A company hears of the claims that it may see and of no others.", about="claims")

TRACE = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
Made = Callable[[], Body]


def event() -> Body:
    """Make an event that the plumber, the surveyor and the insurer may see."""
    return Desk().decide(creation(tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}])).events[0]


def acceptance() -> Body:
    """Make the outcome of a request of the plumber's."""
    return accepted(Desk().decide(creation()))


def refusal() -> Body:
    """Make the outcome of a request of the glazier's."""
    return refused(Desk().ask(NO_CLAIM, "cancel-claim", GLAZIER))


def published(body: Body, reader: str | None = None) -> Outgoing:
    topic = CLAIM_EVENTS_TOPIC if body.type() in CLAIM_EVENTS else REQUEST_OUTCOMES
    return outgoing(
        topic.name, "key", body, id="id", source="claims", cause="creation", trace=TRACE, republished_for=reader
    )


def sent(body: Body, reader: str | None = None) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The recipients, and the body that they get."""
    message = published(body, reader)
    letter = addressed(message.key.encode(), message.headers, message.value)
    return letter.recipients, json.loads(letter.value)


# Reports


def test_a_report_goes_to_its_insurer_alone() -> None:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    report = PeriodReport(insurer=INSURER, period="2026-W47", from_=at, to=at, preliminary=False, closed_at=at)
    ready = ReportReady(insurer=INSURER, period="2026-W47", time_zone="Europe/Oslo", read_up_to={}, report=report)
    assert sent(ready) == ((INSURER,), json.loads(ready.json_bytes()))


# Events


def test_an_event_goes_to_each_company_that_may_see_the_claim_and_to_no_other() -> None:
    recipients, _ = sent(event())
    assert sorted(recipients) == sorted([PLUMBER, INSURER, SURVEYOR])


def test_an_event_is_delivered_without_its_audience_and_otherwise_whole() -> None:
    _, body = sent(event())
    assert body == {k: v for k, v in json.loads(event().json_bytes()).items() if k != "audience"}


@given(
    audience=st.lists(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True), unique=True, max_size=5),
    event_type=st.sampled_from(sorted(CLAIM_EVENTS)),
    rest=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "audience"),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4),
        max_size=4,
    ),
)
@settings(deadline=None)
def test_whatever_an_event_says_its_audience_gets_all_of_it_but_who_the_audience_is(
    audience: list[str], event_type: str, rest: dict[str, Any]
) -> None:
    headers = [("ce_id", b"1"), ("ce_type", event_type.encode()), ("ce_source", b"/claimbus/claims")]
    letter = addressed(b"key", headers, json.dumps({**rest, "audience": audience}).encode())
    assert list(letter.recipients) == audience
    assert json.loads(letter.value) == rest


def test_a_field_named_audience_deeper_in_an_event_is_the_partners_own() -> None:
    headers = [("ce_id", b"1"), ("ce_type", event().type().encode()), ("ce_source", b"/claimbus/claims")]
    letter = addressed(b"key", headers, b'{"audience": ["a"], "incident": {"audience": "all"}}')
    assert json.loads(letter.value) == {"incident": {"audience": "all"}}


@pytest.mark.parametrize("body", [event, acceptance])
def test_a_message_is_delivered_with_the_same_key_id_and_trace(body: Made) -> None:
    message = published(body())
    letter = addressed(message.key.encode(), message.headers, message.value)
    assert letter.key == message.key
    assert letter.headers == message.headers


# Outcomes


@pytest.mark.parametrize(("outcome", "asker"), [(acceptance, PLUMBER), (refusal, GLAZIER)])
def test_an_outcome_goes_to_the_company_that_asked_alone(outcome: Made, asker: str) -> None:
    recipients, body = sent(outcome())
    assert recipients == (asker,)
    assert body == json.loads(outcome().json_bytes())


def test_a_refusal_says_to_its_asker_what_it_says() -> None:
    _, body = sent(refusal())
    assert (body["code"], body["message"]["nb"]) == (Code.UNKNOWN_CLAIM, Code.UNKNOWN_CLAIM.message.nb)


# Suggestions


def test_suggestions_tell_of_other_claims_so_they_go_to_the_insurer_alone_as_they_are() -> None:
    suggested = LinkSuggested(claim_id=NO_CLAIM, insurer=INSURER, at=TUESDAY_EVENING, revision=2, suggestions=[])
    message = outgoing(LINK_SUGGESTIONS.name, NO_CLAIM, suggested, id="id", source="suggestions", cause="creation")
    letter = addressed(message.key.encode(), message.headers, message.value)
    assert letter.recipients == (INSURER,)
    assert letter.value == message.value


def test_suggestions_that_name_an_audience_still_go_to_the_insurer_alone() -> None:
    headers = [("ce_id", b"1"), ("ce_type", LinkSuggested.type().encode()), ("ce_source", b"/claimbus/suggestions")]
    value = json.dumps({"insurer": INSURER, "audience": [PLUMBER], "company": PLUMBER}).encode()
    assert addressed(b"key", headers, value).recipients == (INSURER,)


# Published again


@pytest.mark.parametrize("reader", [*ReadModel])
@pytest.mark.parametrize("body", [event, acceptance])
def test_what_is_published_again_for_a_service_goes_to_no_company(body: Made, reader: str) -> None:
    recipients, _ = sent(body(), reader)
    assert recipients == ()


def test_an_event_published_again_for_a_company_goes_to_that_company_alone() -> None:
    recipients, body = sent(event(), SURVEYOR)
    assert recipients == (SURVEYOR,)
    assert "audience" not in body


def test_an_outcome_published_again_for_a_company_goes_to_it_only_if_it_asked() -> None:
    assert sent(acceptance(), PLUMBER)[0] == (PLUMBER,)
    assert sent(acceptance(), SURVEYOR)[0] == ()


def test_what_is_published_again_has_the_id_that_it_had_and_says_for_whom_it_is() -> None:
    message = published(event(), SURVEYOR)
    headers = dict(addressed(message.key.encode(), message.headers, message.value).headers)
    assert headers["ce_republishedfor"] == SURVEYOR.encode()
    assert headers["ce_id"] == dict(published(event()).headers)["ce_id"]


# Events that tell of another claim (rule 10)


def test_who_may_not_see_the_other_claim_does_not_learn_of_it() -> None:
    linked = ClaimLinked(
        **{name: getattr(event(), name) for name in ClaimEvent.model_fields},
        see_other_claim=[INSURER, PLUMBER],
        link_id=uuid4(),
        target_claim_id=uuid4(),
        target_claim_number="SK-1",
    )
    message = published(linked)
    letter = addressed(message.key.encode(), message.headers, message.value)
    body = from_json(letter.value_for(PLUMBER))
    assert (body["target_claim_id"], body["target_claim_number"]) == (str(linked.target_claim_id), "SK-1")
    assert from_json(letter.value_for(INSURER)) == body
    kept_from = body.keys() - from_json(letter.value_for(SURVEYOR)).keys()
    assert kept_from == {"target_claim_id", "target_claim_number"}
    assert body.keys().isdisjoint({"audience", "see_other_claim", "seen_from_now_on_by"})


def test_an_event_of_one_claim_is_the_same_for_everybody() -> None:
    message = published(event())
    letter = addressed(message.key.encode(), message.headers, message.value)
    assert letter.value_for(SURVEYOR) == letter.value_for(INSURER)


# What cannot be understood


@pytest.mark.parametrize(
    "value", [None, b"", b"not JSON", b"[]", b"{}", b'{"audience": "all"}', b'{"audience": [1]}', b'{"audience": null}']
)
def test_an_event_without_an_audience_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        addressed(b"key", published(event()).headers, value)


@pytest.mark.parametrize("value", [None, b"", b"not JSON", b"[]", b"{}", b'{"company": 1}', b'{"company": null}'])
def test_an_outcome_without_a_company_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        addressed(b"key", published(acceptance()).headers, value)


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source"])
def test_a_message_without_its_cloudevents_attributes_is_undecodable(missing: str) -> None:
    message = published(event())
    with pytest.raises(Undecodable, match=missing):
        addressed(b"key", [header for header in message.headers if header[0] != missing], message.value)


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_republishedfor"])
def test_a_header_that_is_not_utf_8_is_undecodable(name: str) -> None:
    message = published(event())
    with pytest.raises(Undecodable):
        addressed(b"key", [*message.headers, (name, b"\xff")], message.value)


def test_a_header_that_is_null_is_undecodable() -> None:
    message = published(event())
    null: Any = None
    with pytest.raises(Undecodable):
        addressed(b"key", [*message.headers, ("ce_id", null)], message.value)


def test_a_message_that_is_for_no_company_is_undecodable() -> None:
    message = published(event())
    with pytest.raises(Undecodable, match="is not for companies"):
        addressed(b"key", [*message.headers, ("ce_type", b"claimbus.checked-request.v1")], message.value)


def test_a_message_without_a_key_is_delivered_without_one() -> None:
    message = published(event())
    assert addressed(None, message.headers, message.value).key == ""
