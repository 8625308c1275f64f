"""CloudEvents 1.0 over Kafka: what can be read, what is wrong although its id is readable, and what has no id."""

import base64
import json
import re
import string
import time
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contract.envelope import (
    Envelope,
    Outgoing,
    Undecodable,
    details_of,
    outgoing,
    read_envelope,
    read_internal_envelope,
    sealed,
)
from shared.contract.requests import CancelClaim, CreateTemporaryClaim, ReportTask
from tests.builders.requests import CLAIM, Json, creation, headers_of
from tests.properties import no_deadline

Headers = list[tuple[str, bytes]]

TYPE = "claimbus.cancel-claim.v1"
BODY = b'{"claim_id": "0b0f6f0c-6f0e-5d9a-8a53-111111111111"}'
STRUCTURED = ("content-type", b"application/cloudevents+json")
REQUEST_ID = st.text(string.ascii_letters + string.digits + "._:-", min_size=1, max_size=100)


def changed(headers: Headers, **changes: bytes | None) -> Headers:
    """Replace headers by name, with `_` for `-`; None leaves one out."""
    by_name = {name.replace("_", "-"): raw for name, raw in changes.items()}
    kept = [(name, raw) for name, raw in headers if name.replace("_", "-") not in by_name]
    return kept + [(name.replace("ce-", "ce_"), raw) for name, raw in by_name.items() if raw is not None]


def problems_of(envelope: Envelope) -> dict[str, str]:
    return {detail.field: detail.problem for detail in envelope.problems}


def structured(**changes: object) -> bytes:
    """Write a structured message; a change to None leaves an attribute out."""
    event: Json = {
        "specversion": "1.0",
        "id": "r-1",
        "source": "/vest",
        "type": TYPE,
        "data": json.loads(BODY),
        **changes,
    }
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


# Binary mode


def test_a_request_in_binary_mode_is_read() -> None:
    headers = headers_of(TYPE, "r-1", actor="Åse Dahl", subject="sak 7", time="2026-11-24T16:12:00Z")
    envelope = read_envelope(headers, BODY)
    assert envelope == Envelope(id="r-1", type=TYPE, source="/test", body=BODY, subject="sak 7", actor="Åse Dahl")


def test_optional_attributes_may_be_missing() -> None:
    envelope = read_envelope(headers_of(TYPE), BODY)
    assert (envelope.subject, envelope.actor, envelope.trace, envelope.republished_for) == (None, None, (), None)
    assert envelope.problems == ()


@pytest.mark.parametrize("write", [str.upper, str.title, str.lower])
def test_header_names_may_be_written_in_any_case(write: object) -> None:
    assert callable(write)
    headers = headers_of(TYPE, "r-1")
    written = [(write(name), raw) for name, raw in headers]
    assert read_envelope(written, BODY) == read_envelope(headers, BODY)


def test_a_value_keeps_its_case() -> None:
    assert read_envelope(headers_of(TYPE, "R-a"), BODY).id == "R-a"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON", " application/json ;x"]
)
def test_the_content_type_is_json_however_it_is_written(content_type: str) -> None:
    headers = changed(headers_of(TYPE), content_type=content_type.encode())
    assert read_envelope(headers, BODY).problems == ()


def test_of_two_headers_of_a_name_the_last_counts() -> None:
    """As `lastHeader` does in Kafka's own client."""
    headers = [*headers_of(TYPE, "r-1"), ("CE_ID", b"r-2"), ("ce_actor", b"Kari"), ("ce_actor", b"Ola")]
    envelope = read_envelope(headers, BODY)
    assert (envelope.id, envelope.actor) == ("r-2", "Ola")


def test_a_header_that_is_none_of_ours_is_ignored() -> None:
    headers = [*headers_of(TYPE), ("x-sent-by", b"a gateway"), ("ce_region", b"west"), ("", b"")]
    assert read_envelope(headers, BODY) == read_envelope(headers_of(TYPE), BODY)


def test_a_header_that_is_none_of_ours_may_hold_any_bytes() -> None:
    """Tracing agents add headers of their own; a request is not refused for them."""
    headers = [*headers_of(TYPE), ("x-datadog-pathway", b"\xff\xfe\x00")]
    assert read_envelope(headers, BODY).problems == ()


def test_trace_context_is_carried_through_as_it_is() -> None:
    trace = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", b"vest=1")]
    envelope = read_envelope([*headers_of(TYPE), *trace], BODY)
    assert envelope.trace == tuple(trace)
    assert envelope.problems == ()
    upper = [(name.title(), raw) for name, raw in trace]
    assert read_envelope([*headers_of(TYPE), *upper], BODY).trace == tuple(trace)


@pytest.mark.parametrize(
    "header",
    [
        ("traceparent", b"\xff" * 700_000),
        ("traceparent", b"00-1-2-01"),
        ("tracestate", b"\xff=1"),
        ("tracestate", None),
    ],
)
def test_trace_context_that_is_not_well_formed_is_left_out_and_harms_nothing(header: tuple[str, bytes]) -> None:
    envelope = read_envelope([*headers_of(TYPE), header], BODY)
    assert envelope.trace == ()
    assert envelope.problems == ()


def test_a_body_with_very_many_errors_is_answered_with_a_few_of_them() -> None:
    with pytest.raises(ValidationError) as invalid:
        ReportTask.model_validate_json(b'{"media": [' + b"{}, " * 4_999 + b"{}]}")
    details = details_of(invalid.value)
    assert len(details) == 21
    assert re.fullmatch(r"and \d+ more", details[-1].problem)


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"not json"])
def test_the_body_is_not_judged_in_binary_mode(value: bytes | None) -> None:
    envelope = read_envelope(headers_of(TYPE), value)
    assert envelope.body == (value or b"")
    assert envelope.problems == ()


# What has no id


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_type", TYPE.encode())],
        [("id", b"r-1"), ("ce-id", b"r-1")],
        changed(headers_of(TYPE), ce_id=b""),
        changed(headers_of(TYPE), ce_id=b"\xff"),
        changed(headers_of(TYPE), ce_id=b"a b"),
        changed(headers_of(TYPE), ce_id=b"r-1\n"),
        changed(headers_of(TYPE), ce_id=b"r-1\x00"),
        changed(headers_of(TYPE), ce_id=b"r/1"),
        changed(headers_of(TYPE), ce_id="å".encode()),
        changed(headers_of(TYPE), ce_id="٣".encode()),  # a digit, but none of 0-9
        changed(headers_of(TYPE), ce_id=b"r" * 101),
    ],
)
def test_a_message_without_a_readable_id_is_undecodable(headers: Headers) -> None:
    with pytest.raises(Undecodable):
        read_envelope(headers, BODY)


def test_a_null_header_is_no_id() -> None:
    headers: Headers = [("ce_id", None)]  # type: ignore[list-item]  # what aiokafka gives for it
    with pytest.raises(Undecodable):
        read_envelope(headers, BODY)


def test_the_reason_says_what_is_wrong_with_the_id() -> None:
    with pytest.raises(Undecodable, match="no ce_id"):
        read_envelope([], BODY)
    with pytest.raises(Undecodable, match="ce_id is not UTF-8"):
        read_envelope([("ce_id", b"\xff")], BODY)
    with pytest.raises(Undecodable, match="1–100 characters"):
        read_envelope([("ce_id", b"r" * 101)], BODY)


@no_deadline
@given(REQUEST_ID)
def test_every_id_of_the_contract_is_read_in_both_modes(request_id: str) -> None:
    assert read_envelope(headers_of(TYPE, request_id), BODY).id == request_id
    assert read_envelope([STRUCTURED], structured(id=request_id)).id == request_id


@no_deadline
@given(st.text(st.characters(codec="utf-8"), max_size=120))
def test_no_other_id_is_read_in_either_mode(request_id: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "._:-")
    well_formed = 1 <= len(request_id) <= 100 and set(request_id) <= allowed
    for headers, value in ((headers_of(TYPE, request_id), BODY), ([STRUCTURED], structured(id=request_id))):
        try:
            assert read_envelope(headers, value).id == request_id
            assert well_formed
        except Undecodable:
            assert not well_formed


# What is wrong although the id is readable


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"ce_specversion": None}, "ce_specversion", "must be 1.0"),
        ({"ce_specversion": b"0.3"}, "ce_specversion", "must be 1.0"),
        ({"ce_source": None}, "ce_source", "is missing"),
        ({"ce_source": b""}, "ce_source", "is missing"),
        ({"ce_type": None}, "ce_type", "is missing"),
        ({"ce_subject": b"\xff"}, "ce_subject", "is not UTF-8"),
        ({"ce_actor": b"\xc3"}, "ce_actor", "is not UTF-8"),
        ({"content_type": b"text/plain"}, "content-type", "is neither application/json nor application/cloudevents"),
        ({"content_type": b"application/avro"}, "content-type", "is neither"),
    ],
)
def test_what_is_wrong_beside_a_readable_id_is_a_problem_with_its_field(
    change: dict[str, bytes | None], field: str, problem: str
) -> None:
    envelope = read_envelope(changed(headers_of(TYPE, "r-1"), **change), BODY)
    assert envelope.id == "r-1"
    assert list(problems_of(envelope)) == [field]
    assert problems_of(envelope)[field].startswith(problem)


def test_a_header_that_is_not_utf_8_is_named_and_its_bytes_are_not_repeated() -> None:
    envelope = read_envelope(changed(headers_of(TYPE), ce_type=b"\xffsecret", ce_source=b"\xfe"), BODY)
    named = [(detail.field, detail.problem) for detail in envelope.problems]
    assert ("ce_type", "is not UTF-8") in named
    assert ("ce_source", "is not UTF-8") in named
    assert (envelope.type, envelope.source) == ("", "")


def test_a_header_name_that_is_repeated_in_a_problem_is_printable() -> None:
    envelope = read_envelope([*headers_of(TYPE), ("ce_\x00\x1b[31m" + "x" * 500, b"\xff")], BODY)
    for detail in envelope.problems:
        assert detail.field.isprintable()
        assert len(detail.field) <= 200


def test_what_is_repeated_to_others_is_printable_and_short() -> None:
    headers = headers_of("claimbus.x\x00\x1b.v1" + "y" * 500, "r-1", actor="Åse\x00 Dahl\n" + "z" * 500)
    envelope = read_envelope(headers, BODY)
    assert envelope.type.startswith("claimbus.x.v1yy")
    assert envelope.actor is not None
    assert envelope.actor.startswith("Åse Dahlzz")
    for text in (envelope.type, envelope.actor, envelope.source):
        assert text.isprintable()
        assert len(text) <= 200


# The limit


@pytest.mark.parametrize(("size", "too_large"), [(0, False), (256 * 1024, False), (256 * 1024 + 1, True)])
def test_a_body_of_at_most_256_kib_is_not_too_large(size: int, too_large: bool) -> None:
    envelope = read_envelope(headers_of(TYPE), b" " * size)
    assert envelope.too_large is too_large
    assert envelope.problems == ()


@pytest.mark.parametrize(("length", "too_large"), [(256 * 1024 - 2, False), (256 * 1024 - 1, True)])
def test_the_limit_is_the_bodys_in_structured_mode_too(length: int, too_large: bool) -> None:
    envelope = read_envelope([STRUCTURED], structured(data="x" * length))  # and two quotation marks
    assert envelope.id == "r-1"
    assert envelope.too_large is too_large


# Structured mode


def test_a_request_in_structured_mode_is_read() -> None:
    value = structured(actor="Åse Dahl", subject="sak 7", datacontenttype="application/json", time="2026-11-24T16:12Z")
    envelope = read_envelope([STRUCTURED], value)
    expected = ("r-1", TYPE, "/vest", "Åse Dahl", "sak 7", ())
    assert (
        envelope.id,
        envelope.type,
        envelope.source,
        envelope.actor,
        envelope.subject,
        envelope.problems,
    ) == expected
    assert json.loads(envelope.body) == {"claim_id": CLAIM}


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+json; charset=UTF-8", b"Application/CloudEvents+JSON"]
)
def test_structured_mode_is_known_by_its_content_type_however_it_is_written(content_type: bytes) -> None:
    assert read_envelope([("Content-Type", content_type)], structured()).id == "r-1"


def test_in_structured_mode_the_attributes_are_those_of_the_value() -> None:
    headers = [*changed(headers_of("claimbus.other.v1", "other"), content_type=None), STRUCTURED]
    envelope = read_envelope(headers, structured())
    assert (envelope.id, envelope.type) == ("r-1", TYPE)


def test_a_body_in_base_64_is_read() -> None:
    value = structured(data=None, data_base64=base64.b64encode(BODY).decode())
    assert read_envelope([STRUCTURED], value).body == BODY


@pytest.mark.parametrize("data", ["not base 64!", "YQ", "YQ==!", "Y Q==", 7, {}, [], True])
def test_a_body_that_is_not_base_64_is_a_problem(data: object) -> None:
    envelope = read_envelope([STRUCTURED], structured(data=None, data_base64=data))
    assert problems_of(envelope) == {"data_base64": "is not base 64"}
    assert envelope.body == b""


def test_a_structured_message_without_data_has_an_empty_body() -> None:
    envelope = read_envelope([STRUCTURED], structured(data=None))
    assert (envelope.body, envelope.problems) == (b"", ())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": None}, "ce_specversion"),
        ({"specversion": "0.3"}, "ce_specversion"),
        ({"specversion": 1.0}, "ce_specversion"),
        ({"source": None}, "ce_source"),
        ({"type": None}, "ce_type"),
        ({"type": 7}, "ce_type"),
    ],
)
def test_what_is_wrong_with_a_structured_message_is_a_problem_with_its_field(change: Json, field: str) -> None:
    envelope = read_envelope([STRUCTURED], structured(**change))
    assert (envelope.id, list(problems_of(envelope))) == ("r-1", [field])


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'"r-1"',
        b"null",
        b"7",
        b"{}",
        b"[" * 100_000,
        b'{"id": "\\ud800"}',
        structured(id=None),
        structured(id=7),
        structured(id=""),
        structured(id="a b"),
        structured(id="r-1\x00"),
        structured(id=["r-1"]),
    ],
)
def test_a_structured_message_without_a_readable_id_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        read_envelope([STRUCTURED], value)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abå\x00", max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@no_deadline
@given(json_values)
def test_both_modes_carry_the_same_body(body: object) -> None:
    text = json.dumps(body).encode()
    binary = read_envelope(headers_of(TYPE), text).body
    event = b'{"specversion": "1.0", "id": "r-1", "source": "/vest", "type": "x", "data": ' + text + b"}"
    assert json.loads(read_envelope([STRUCTURED], event).body) == json.loads(binary)


@pytest.mark.parametrize("depth", range(150, 300, 5))
def test_a_deeply_nested_structured_message_is_read_or_has_a_problem(depth: int) -> None:
    event = b'{"specversion": "1.0", "id": "r-1", "source": "/", "type": "x", "data": ' + b"[" * depth + b"]" * depth
    envelope = read_envelope([STRUCTURED], event + b"}")
    assert envelope.id == "r-1"
    if envelope.problems:
        assert depth >= 190
        assert list(problems_of(envelope)) == ["body"]
    else:
        assert envelope.body == b"[" * depth + b"]" * depth


# What other languages' serializers write


@pytest.mark.parametrize(
    "name", ["data_base64", "datacontenttype", "dataschema", "subject", "time", "actor", "traceparent", "sequence"]
)
def test_an_attribute_that_is_null_is_unset(name: str) -> None:
    event = json.loads(structured())
    assert read_envelope([STRUCTURED], json.dumps(event | {name: None}).encode()) == read_envelope(
        [STRUCTURED], structured()
    )


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_a_mandatory_attribute_that_is_null_is_missing(name: str) -> None:
    value = json.dumps(json.loads(structured()) | {name: None}).encode()
    if name == "id":
        with pytest.raises(Undecodable, match="no ce_id"):
            read_envelope([STRUCTURED], value)
    else:
        assert list(problems_of(read_envelope([STRUCTURED], value))) == [f"ce_{name}"]


def test_data_that_is_null_beside_data_in_base_64_is_unset() -> None:
    event = json.loads(structured(data_base64=base64.b64encode(BODY).decode())) | {"data": None}
    assert read_envelope([STRUCTURED], json.dumps(event).encode()).body == BODY


@pytest.mark.parametrize("name", ["content-type", "ce_subject", "ce_actor", "ce_time", "ce_datacontenttype"])
@pytest.mark.parametrize("raw", [None, b""])
def test_a_header_that_is_null_or_empty_is_unset(name: str, raw: bytes | None) -> None:
    headers: Headers = [*changed(headers_of(TYPE, "r-1"), content_type=None), (name, raw)]  # type: ignore[list-item]
    assert read_envelope(headers, BODY) == read_envelope(headers_of(TYPE, "r-1"), BODY)


@pytest.mark.parametrize(
    "content_type",
    ["text/json", "application/vnd.vest.request+json", "application/problem+json;charset=utf-8", "APPLICATION/JSON"],
)
def test_every_kind_of_json_is_json(content_type: str) -> None:
    headers = changed(headers_of(TYPE), content_type=content_type.encode())
    assert read_envelope(headers, BODY).problems == ()


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.vest+json", "text/json"])
def test_the_content_type_of_structured_data_may_say_more_than_json(content_type: str) -> None:
    envelope = read_envelope([STRUCTURED], structured(datacontenttype=content_type))
    assert (json.loads(envelope.body), envelope.problems) == ({"claim_id": CLAIM}, ())


def test_a_byte_order_mark_before_the_value_is_no_part_of_it() -> None:
    assert read_envelope(headers_of(TYPE), b"\xef\xbb\xbf" + BODY).body == BODY
    assert read_envelope([STRUCTURED], b"\xef\xbb\xbf" + structured()) == read_envelope([STRUCTURED], structured())


# An id that can be read is read

BROKEN = {
    "half an emoji": rb'{"text": "Vann \ud83d"}',
    "the other half": rb'{"text": "\ude00 Vann"}',
    "half an emoji in a name": rb'{"\ud83d": 1}',
    "half an emoji in bytes": b'{"text": "\xed\xa0\xbd"}',
    "Latin-1": '{"text": "Ålesund"}'.encode("latin-1"),
    "a line break in a text": b'{"text": "a\nb"}',
    "an escape that means nothing": rb'{"text": "\x"}',
    "NaN in lower case": b'{"text": nan}',
    "undefined": b'{"text": undefined}',
    "Python's None": b"{'text': None}",
    "a huge number": b"9" * 5000,
    "a number with a comma": b'{"amount": 1,50}',
    "a leading zero": b'{"amount": 007}',
    "a trailing comma": b'{"text": "a",}',
    "a comment": b'{"text": "a" /* or b */}',
    "deep nesting": b"[" * 5000 + b"]" * 5000,
    "objects nested deeply": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "a text that is not ended": b'{"text": "a',
    "the end missing": b'{"text": {"a": [1',
    "nothing": b"",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_structured_event_that_is_no_json_is_a_problem_of_the_request_that_it_names(data: bytes) -> None:
    event = b'{"specversion": "1.0", "id": "r-1", "source": "/vest", "type": "%s", "data": %s}' % (TYPE.encode(), data)
    envelope = read_envelope([STRUCTURED], event)
    assert (envelope.id, envelope.type, envelope.body) == ("r-1", TYPE, b"")
    assert list(problems_of(envelope)) == ["body"]
    assert problems_of(envelope)["body"].startswith("Invalid JSON: ")


@pytest.mark.parametrize("name", ["type", "source", "subject", "actor", "specversion", "time", "other"])
def test_half_an_emoji_beside_the_id_does_not_lose_it(name: str) -> None:
    event = structured(**{name: "half"}).replace(b'"half"', rb'"\ud83d"')
    envelope = read_envelope([STRUCTURED], event)
    assert envelope.id == "r-1"
    assert "body" in problems_of(envelope)


def test_an_id_after_what_is_broken_is_read_and_one_within_it_is_not() -> None:
    begins = rb'{"data": {"id": "r-2", "text": "\ud83d", "list": [{"id": "r-3"}]}, "note": "\"id\": \"r-4\"", '
    assert read_envelope([STRUCTURED], begins + b'"specversion": "1.0", "id": "r-1"}').id == "r-1"
    with pytest.raises(Undecodable, match="no ce_id"):
        read_envelope([STRUCTURED], begins + b'"specversion": "1.0"}')


@pytest.mark.parametrize("content_type", [None, b"application/json", b"text/plain", b"\xff"])
def test_a_structured_event_under_another_content_type_gets_its_problem(content_type: bytes | None) -> None:
    headers = changed([STRUCTURED], content_type=content_type)
    envelope = read_envelope(headers, structured())
    assert (envelope.id, envelope.type) == ("r-1", TYPE)
    assert "content-type" in problems_of(envelope)


def test_an_id_in_the_headers_of_a_structured_event_without_one_is_read() -> None:
    headers = [*changed(headers_of(TYPE, "r-1"), content_type=None), STRUCTURED]
    for value in (BODY, b"", b"{", b"[]"):
        envelope = read_envelope(headers, value)
        assert envelope.id == "r-1"
        assert "id" in problems_of(envelope)


def test_a_batch_of_events_is_not_read() -> None:
    """Kafka's binding knows no batches: there would be several ids."""
    headers = [("content-type", b"application/cloudevents-batch+json")]
    with pytest.raises(Undecodable, match="content-type is neither"):
        read_envelope(headers, b"[" + structured() + b"]")


@no_deadline
@given(st.integers(0, 60), st.integers(0, 20), st.one_of(st.binary(max_size=8), st.sampled_from(list(BROKEN.values()))))
def test_whatever_comes_after_an_id_it_is_read(place: int, cut: int, put: bytes) -> None:
    begins = b'{"id":"r-1",'
    rest = structured(id=None).removeprefix(b"{")
    value = begins + rest[:place] + put + rest[place + cut :]
    assert read_envelope([STRUCTURED], value).id == "r-1"


@pytest.mark.parametrize(
    "value",
    [b'{"data":' + b"[1" * 350_000, b'{"data":"' + b'\\"' * 500_000, b'{"id":"a",' * 110_000, b"[{" * 500_000],
    ids=["numbers", "escapes", "ids", "brackets"],
)
def test_a_broken_event_of_the_largest_size_is_scanned_once(value: bytes) -> None:
    """Not once for each of its quotation marks: that would take minutes."""
    began = time.process_time()
    with suppress(Undecodable):
        read_envelope([STRUCTURED], value)
    assert time.process_time() - began < 10


# Nothing that is sent breaks the reading

names = st.one_of(
    st.sampled_from(("ce_id", "ce_type", "ce_source", "ce_specversion", "ce_actor", "content-type", "traceparent")),
    st.text(st.characters(codec="utf-8"), max_size=10),
)
raw_values = st.one_of(
    st.binary(max_size=20),
    st.sampled_from((b"r-1", b"1.0", b"application/json", b"application/cloudevents+json", TYPE.encode())),
)


@settings(no_deadline, max_examples=300)
@given(
    st.lists(st.tuples(names, raw_values), max_size=8), st.one_of(st.binary(max_size=30), json_values.map(json.dumps))
)
def test_any_headers_and_any_value_are_read_or_undecodable(headers: Headers, value: bytes | str) -> None:
    try:
        envelope = read_envelope(headers, value.encode() if isinstance(value, str) else value)
    except Undecodable:
        return
    assert 1 <= len(envelope.id) <= 100
    for text in (envelope.type, envelope.source, envelope.actor or ""):
        assert text.isprintable()


# What we send


def as_headers(message: Outgoing) -> dict[str, bytes]:
    return dict(message.headers)


def test_what_we_send_says_its_id_its_type_and_the_request_that_led_to_it() -> None:
    body = CancelClaim(claim_id=UUID(CLAIM), reason="Åpenbar feil.")
    message = outgoing("claim-commands", UUID(CLAIM), body, id="vest/r-1", source="permissions", cause="r-1")
    assert (message.topic, message.key) == ("claim-commands", CLAIM)
    assert as_headers(message) == {
        "ce_specversion": b"1.0",
        "ce_id": b"vest/r-1",
        "ce_source": b"/claimbus/permissions",
        "ce_type": b"claimbus.cancel-claim.v1",
        "ce_causationid": b"r-1",
        "content-type": b"application/json",
    }
    assert json.loads(message.value) == {"claim_id": CLAIM, "reason": "Åpenbar feil."}
    assert len(as_headers(message)) == len(message.headers)


def test_what_is_absent_is_left_out_of_what_we_send() -> None:
    message = outgoing("t", "k", CancelClaim(claim_id=UUID(CLAIM)), id="a", source="claims", cause="b")
    assert json.loads(message.value) == {"claim_id": CLAIM}


def test_what_we_send_can_carry_a_subject_a_trace_and_the_reader_it_is_sent_again_for() -> None:
    trace = (("traceparent", b"00-1-2-01"),)
    message = sealed(
        "t",
        "k",
        "x",
        b"{}",
        id="a",
        source="claims",
        cause="b",
        subject=UUID(CLAIM),
        trace=trace,
        republished_for="portal",
    )
    headers = as_headers(message)
    assert headers["ce_subject"] == CLAIM.encode()
    assert headers["ce_republishedfor"] == b"portal"
    assert headers["traceparent"] == b"00-1-2-01"


def test_what_we_send_is_the_same_each_time() -> None:
    def send() -> Outgoing:
        return outgoing("t", "k", CancelClaim(claim_id=UUID(CLAIM)), id="a", source="claims", cause="b")

    assert send() == send()


def test_our_own_services_read_what_we_send() -> None:
    trace = (("traceparent", b"00-1-2-01"),)
    long_id = "vest-skadeservice/" + "r" * 100 + "/report"
    message = sealed(
        "t", "k", "claimbus.x.v1", BODY, id=long_id, source="claims", cause="b", subject="s", trace=trace,
        republished_for="portal",
    )  # fmt: skip
    assert read_internal_envelope(message.headers, message.value) == Envelope(
        cause="b",
        id=long_id,
        type="claimbus.x.v1",
        source="/claimbus/claims",
        body=BODY,
        subject="s",
        trace=trace,
        republished_for="portal",
    )


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source"])
def test_a_message_of_ours_without_an_attribute_is_undecodable(missing: str) -> None:
    message = sealed("t", "k", "x", b"{}", id="a", source="claims", cause="b")
    headers = [(name, raw) for name, raw in message.headers if name != missing]
    with pytest.raises(Undecodable, match=missing):
        read_internal_envelope(headers, message.value)
    with pytest.raises(Undecodable, match="not UTF-8"):
        read_internal_envelope([*headers, (missing, b"\xff")], message.value)


# What is wrong with each field


def test_every_wrong_field_is_named_by_its_path_and_what_was_sent_is_not_repeated() -> None:
    body = creation(
        insurer="Hemmelig AS", policyholder={"name": "Åse", "phone": "hemmelig"}, tasks=[{"kind": "hemmelig"}]
    )
    with pytest.raises(ValidationError) as raised:
        CreateTemporaryClaim.model_validate_json(json.dumps(body))
    details = details_of(raised.value)
    assert sorted(detail.field for detail in details) == ["insurer", "policyholder.phone", "tasks.0.kind"]
    assert not any("emmelig" in detail.problem for detail in details)
    assert all(detail.problem for detail in details)


def test_a_body_that_is_no_object_is_named_as_the_body() -> None:
    with pytest.raises(ValidationError) as raised:
        CreateTemporaryClaim.model_validate_json(b"[]")
    assert [detail.field for detail in details_of(raised.value)] == ["body"]


def test_our_own_sentences_stand_without_the_word_value_error() -> None:
    with pytest.raises(ValidationError) as raised:
        CancelClaim.model_validate_json(json.dumps({"claim_id": CLAIM, "reason": "a\x00b"}))
    assert [detail.problem for detail in details_of(raised.value)] == ["must not contain the character U+0000"]
