"""A request whose id can be read gets its outcome, whatever else is in the message, in both modes (domain rule 22)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.claims.commands import Command
from services.claims.commands import read_command as read_by_claims
from services.permissions.app import read_request
from services.permissions.claim_rules import check
from services.permissions.directory_rules import settle
from services.permissions.messages import command, directory_message, outcome_of
from services.permissions.received import ReceivedRequest
from shared.contract.codes import Code
from shared.contract.directory_events import DIRECTORY_EVENTS, DirectoryEvent
from shared.contract.envelope import Outgoing
from shared.contract.outcomes import OUTCOMES
from shared.contract.requests import REQUESTS
from shared.domain.directory import Directory
from tests.builders.directory import permitted
from tests.builders.moments import oslo
from tests.builders.records import record, record_of
from tests.builders.requests import FJORD, FULL, VEST, Json, headers_of
from tests.properties import no_deadline
from tests.unit.test_contract_fields import TRIED, paths, with_part
from tests.unit.test_envelope import BROKEN, STRUCTURED

pytestmark = pytest.mark.promise(
    "Each message whose id can be read is answered, however broken it is.", about="requests"
)

Headers = list[tuple[str, bytes]]

AT = oslo("2026-11-24 20:00")
DIRECTORY = permitted()


def written(name: str, body: bytes, *, structured: bool, headers: Headers = ()) -> tuple[Headers, bytes]:  # type: ignore[assignment]
    """Write a request of the id `r-1` in one of the modes, with more headers, or attributes of the same name."""
    if not structured:
        return [*headers_of(f"claimbus.{name}.v1", "r-1"), *headers], body
    more = b"".join(b"%s, " % _attribute(name, raw) for name, raw in headers if name != "content-type")
    begins = b'{"specversion": "1.0", "id": "r-1", "source": "/test", "type": "claimbus.%s.v1", ' % name.encode()
    return [STRUCTURED], begins + more + b'"data": ' + body + b"}"


def _attribute(name: str, raw: bytes) -> bytes:
    return b'"%s": "%s"' % (name.removeprefix("ce_").encode(), raw.replace(b"\\", rb"\\").replace(b'"', rb"\""))


def checked_outcome(directory: Directory, company: str, headers: Headers, value: bytes) -> Json:
    """Decide a request as permissions does, and read what it sends as those who get it do; return the answer's body."""
    at_ms = int(AT.timestamp() * 1000)
    received = read_request(record(topic=f"requests.{company}", timestamp=at_ms, value=value, headers=headers))
    assert received.envelope.id == "r-1"
    sent, answer = _decided(directory, received)
    for message in sent:
        texts = [raw.decode() for _, raw in message.headers] + list(texts_of(json.loads(message.value)))
        assert not [text for text in texts if "\x00" in text]  # PostgreSQL cannot keep it
    return answer


def texts_of(value: Any) -> Iterator[str]:
    """Every text in what was read as JSON."""
    if isinstance(value, str):
        yield value
    for part in value.items() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from texts_of(part)


def _decided(directory: Directory, received: ReceivedRequest) -> tuple[list[Outgoing], Json]:
    if not received.is_about_directory:
        sent = command(check(directory, received), received)
        read = read_by_claims(record_of(sent))
        assert isinstance(read, Command)
        return [sent], json.loads(sent.value)
    event: DirectoryEvent = settle(directory, received)
    message = directory_message(event, received)
    assert DIRECTORY_EVENTS[event.type()].model_validate_json(message.value) == event
    read_back = Directory()
    read_back.apply(event, AT)
    answer = read_back.settled(received.company, received.envelope.id)
    assert answer is not None
    outcome = outcome_of(answer, received)
    headers = dict(outcome.headers)
    assert OUTCOMES[headers["ce_type"].decode()].model_validate_json(outcome.value).request_id == "r-1"
    return [message, outcome], json.loads(message.value)


def code_of(answer: Json) -> str | None:
    return answer.get("code") or (answer.get("refusal") or {}).get("code")


both_modes = pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])
names = st.sampled_from(list(FULL))


@both_modes
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_json_is_refused_with_its_reason_in_both_modes(data: bytes, structured: bool) -> None:
    for name, company in (("create-temporary-claim", VEST), ("cancel-claim", FJORD), ("set-portal-settings", FJORD)):
        answer = checked_outcome(DIRECTORY, company, *written(name, data, structured=structured))
        assert code_of(answer) == Code.INVALID_REQUEST
        details = answer.get("details") or answer["refusal"]["details"]
        assert [detail["field"] for detail in details] == ["body"]
        assert details[0]["problem"].startswith("Invalid JSON")


@both_modes
@settings(no_deadline, max_examples=150)
@given(
    names,
    st.lists(
        st.tuples(
            st.integers(0, 400), st.integers(0, 10), st.binary(max_size=6) | st.sampled_from(list(BROKEN.values()))
        ),
        min_size=1,
        max_size=3,
    ),
)
@example(name="register-company", changes=[(0, 1, b"")])  # its data's id looks like the event's
def test_whatever_becomes_of_a_body_its_request_is_answered(
    structured: bool, name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    body = json.dumps(FULL[name], ensure_ascii=False).encode()
    for place, cut, put in changes:
        place %= len(body) + 1  # noqa: PLW2901 - the place in the body
        body = body[:place] + put + body[place + cut :]
    checked_outcome(DIRECTORY, FJORD, *written(name, body, structured=structured))


@both_modes
@settings(no_deadline, max_examples=100)
@given(
    names,
    st.lists(
        st.tuples(
            st.sampled_from(["ce_type", "ce_source", "ce_subject", "ce_actor", "ce_time", "content-type", "ce_x"]),
            st.binary(max_size=12) | st.sampled_from([b"", b"\x00", b"\xed\xa0\xbd", b"a\nb", b"[" * 300]),
        ),
        max_size=4,
    ),
)
def test_whatever_stands_beside_an_id_its_request_is_answered(structured: bool, name: str, headers: Headers) -> None:
    body = json.dumps(FULL[name]).encode()
    checked_outcome(DIRECTORY, FJORD, *written(name, body, structured=structured, headers=headers))


@settings(no_deadline, max_examples=150)
@given(names, st.data())
def test_both_modes_get_the_same_answer(name: str, data: st.DataObject) -> None:
    body: Any = FULL[name]
    path = data.draw(st.sampled_from(list(paths(body))))
    value = json.dumps(with_part(body, path, data.draw(st.sampled_from(TRIED)))).encode()
    company = data.draw(st.sampled_from([FJORD, VEST]))
    binary, structured = (
        checked_outcome(DIRECTORY, company, *written(name, value, structured=mode)) for mode in (False, True)
    )
    assert binary == structured


def test_every_request_is_tried() -> None:
    assert {f"claimbus.{name}.v1" for name in FULL} == REQUESTS.keys()
