"""Dead letters: a message that cannot be understood is kept with its reason, and too many of them stop the service."""

import base64
from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from shared.contract.dead_letters import DeadLetter
from shared.contract.envelope import Outgoing, outgoing
from shared.contract.topics import DEAD_LETTERS, MIB, REQUESTS
from shared.messaging.record import Record

_LARGEST_KEPT_WHOLE = 2 * MIB
_CUT_TO = 1000
_HEADERS_OF_CUT = 20
_FORGOTTEN_AFTER_MS = 10 * 60 * 1000
"""A partition that has had no message for so long says nothing of a deploy that is bad now."""


class Why(StrEnum):
    """Why a message is put aside, as it is counted."""

    NOT_UNDERSTOOD = "not_understood"
    SERVICE_FAILS = "service_fails"
    NO_TOPIC = "no_topic"


class TooManyDeadLetters(Exception):
    """Too many messages are undecodable: the fault is more likely ours than theirs (a bad deploy)."""


def dead_letter(record: Record, *, service: str, reason: str) -> Outgoing:
    """Put a record aside as it is, with the reason; of one that is too large, its beginning.

    What a sender compressed can be many times what its topic takes, so its size must not decide whether it can be kept.
    """
    headers = [(name, value or b"") for name, value in record.headers]
    key, value = record.key, record.value
    size = len(key or b"") + len(value or b"") + sum(len(name) + len(content) for name, content in headers)
    cut = size > _LARGEST_KEPT_WHOLE
    if cut:
        headers = [(name[:_CUT_TO], content[:_CUT_TO]) for name, content in headers[:_HEADERS_OF_CUT]]
        key, value = key and key[:_CUT_TO], value and value[:_CUT_TO]
        reason = f"{reason}; of its {size} bytes only the beginning is kept here"
    letter = DeadLetter(
        source_topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        appended_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        service=service,
        reason=reason,
        key=None if key is None else base64.b64encode(key),
        headers=[(name, base64.b64encode(content)) for name, content in headers],
        value=None if value is None else base64.b64encode(value),
        cut=cut,
    )
    return outgoing(DEAD_LETTERS.name, record.topic, letter, id=letter.id, source=service, cause=letter.id)


def is_outsiders(record: Record) -> bool:
    """Whether a company wrote it: that it cannot be understood then says nothing of us."""
    return record.topic.startswith(REQUESTS.prefix)


class DeadLetterLimit:
    """Watches the share of dead letters that are our fault among each partition's recent messages.

    Of our own topics one partition over the share is enough, of companies' it takes those of two (docs/decisions/0005).
    """

    def __init__(self, *, share: float, window: int) -> None:
        self._share = share
        self._window = window
        self._recent: defaultdict[tuple[str, int], deque[bool]] = defaultdict(lambda: deque(maxlen=window))
        self._last: dict[tuple[str, int], int] = {}
        self._over: set[tuple[str, int]] = set()

    def check(self, read: Iterable[tuple[Record, bool]]) -> None:
        """Count a batch's records, each with whether it is a dead letter by our fault. Raises TooManyDeadLetters."""
        seen: set[tuple[str, int]] = set()
        for record, dead in read:
            place = record.topic, record.partition
            seen.add(place)
            self._recent[place].append(dead)
            self._last[place] = record.timestamp
        self._over = {place for place in self._over | seen if self._is_over(place)}
        over = sorted({topic for topic, _ in self._over})
        ours = [topic for topic in over if not topic.startswith(REQUESTS.prefix)]
        if ours or len(over) > 1:
            raise TooManyDeadLetters(
                f"more than {self._share:.0%} of the last {self._window} messages of {', '.join(over)} "
                "cannot be understood"
            )

    def _is_over(self, place: tuple[str, int]) -> bool:
        recent = self._recent[place]
        if len(recent) < self._window or sum(recent) <= self._share * self._window:
            return False
        return max(self._last.values()) - self._last[place] <= _FORGOTTEN_AFTER_MS
