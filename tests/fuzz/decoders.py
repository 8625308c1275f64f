"""Who reads which messages, and what becomes of one: answered, passed on, or put aside with its reason."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.claims.commands import read_command
from services.delivery.app import read_letter
from services.linking.app import Part
from services.linking.app import read_event as read_by_linking
from services.permissions.app import read_request
from services.permissions.claim_rules import check
from services.permissions.directory_rules import settle
from services.permissions.messages import command, directory_message, outcome_of
from services.permissions.received import is_settled_here
from services.portal.read_model import read as read_by_portal
from services.reporting.app import read_message as read_by_reporting
from services.suggestions.batch import read_event as read_by_suggestions
from shared.contract.directory_events import read_directory_event
from shared.contract.envelope import Outgoing, Undecodable, read_internal_envelope
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    DIRECTORY,
    LINK_REQUESTS,
    LINK_SUGGESTIONS,
    REPORTS,
    REQUEST_OUTCOMES,
    REQUESTS,
)
from shared.domain.directory import Directory
from shared.errors import Misconfigured
from shared.messaging.record import Record
from shared.recorded_directory import apply_record
from tests.builders.directory import permitted
from tests.builders.records import record, record_of
from tests.builders.requests import CLAIM, FJORD, VEST

ANSWERED, PUT_ASIDE, STOPS = "answered", "put aside", "stops, as what only we write does"


@dataclass(frozen=True)
class Message:
    """A message on a topic."""

    topic: str
    headers: tuple[tuple[str, bytes], ...]
    value: bytes

    @classmethod
    def of(cls, written: bytes) -> "Message":
        """Read one as it is kept in the corpus: topic, headers, an empty line, value. Any bytes are one."""
        head, _, value = written.partition(b"\n\n")
        topic, *lines = head.split(b"\n")
        headers = [line.partition(b": ") for line in lines]
        name = topic.decode(errors="replace")
        return cls(
            name if name in READERS else REQUESTS.of(VEST),
            tuple((header.decode(errors="replace"), content) for header, _, content in headers),
            value,
        )

    def written(self) -> bytes:
        """Write it so."""
        headers = b"".join(b"\n" + name.encode() + b": " + content for name, content in self.headers)
        return self.topic.encode() + headers + b"\n\n" + self.value

    def read(self) -> Iterator[str]:
        """Have every reader of its topic read it; yield what became of it. Whatever else is raised is a finding."""
        for reader in READERS[self.topic]:
            try:
                reader(record(topic=self.topic, key=CLAIM.encode(), value=self.value, headers=list(self.headers)))
            except Undecodable as problem:
                outcome, reason = PUT_ASIDE, str(problem)
            except Misconfigured as problem:
                outcome, reason = STOPS, str(problem)
            else:
                outcome, reason = ANSWERED, "-"
            if not reason:
                raise AssertionError(f"{outcome}, without a reason")
            if outcome is STOPS and self.topic.startswith(REQUESTS.prefix):
                raise AssertionError("a company stops the service")
            yield outcome


_DIRECTORY = permitted("outside_office_hours", may_assign_to_others=True)


def _answer(message: Record) -> None:
    """Decide a request as permissions does, and have what it sends read by those who get it."""
    received = read_request(message)
    if not is_settled_here(_DIRECTORY, received.company, received.envelope.type, received.at):
        _can_be_kept(sent := command(check(_DIRECTORY, received), received))
        read_command(record_of(sent))
        return
    event = settle(_DIRECTORY, received)
    _can_be_kept(sent := directory_message(event, received))
    read_back = Directory()
    apply_record(read_back, record_of(sent))
    settled = read_back.settled(received.company, received.envelope.id)
    assert settled is not None, "it is not answered"
    _can_be_kept(outcome_of(settled, received))


def _can_be_kept(sent: Outgoing) -> None:
    """Headers are UTF-8, the body is JSON, and neither has the character that PostgreSQL cannot keep."""
    texts = [content.decode() for _, content in sent.headers]
    json.loads(sent.value)
    assert b"\\u0000" not in sent.value.replace(b"\\\\", b"")
    assert not [text for text in texts if "\x00" in text]


def _read_directory(message: Record) -> None:
    envelope = read_internal_envelope(message.headers, message.value)
    try:
        event = read_directory_event(envelope.type, envelope.body)
    except ValueError as error:
        raise Undecodable(type(error).__name__) from None
    del event
    apply_record(Directory(), message)


_LETTERS = (read_letter, read_by_portal)
READERS: Mapping[str, tuple[Callable[[Any], object], ...]] = {
    REQUESTS.of(VEST): (_answer,),
    REQUESTS.of(FJORD): (_answer,),
    REQUESTS.of("operator"): (_answer,),
    CLAIM_COMMANDS.name: (read_command,),
    CLAIM_EVENTS.name: (*_LETTERS, read_by_linking, read_by_suggestions, read_by_reporting),
    REQUEST_OUTCOMES.name: (*_LETTERS, read_by_reporting),
    LINK_REQUESTS.name: (Part,),
    LINK_SUGGESTIONS.name: _LETTERS,
    REPORTS.name: _LETTERS,
    DIRECTORY.name: (_read_directory,),
}
"""What reads each topic."""
