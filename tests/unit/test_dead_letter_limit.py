"""Dead letters: kept as they were with their reason, and too many of them stop the service (domain rule 22)."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.contract.dead_letters import DeadLetter
from shared.messaging.dead_letters import DeadLetterLimit, TooManyDeadLetters, dead_letter
from shared.messaging.memory import MemoryRecord
from shared.messaging.record import Record
from tests.builders.commands import GLAZIER, PLUMBER
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.records import record

pytestmark = pytest.mark.promise("Too many dead letters stop a service, and one company's do not.", about="running")

OURS = "claim-commands"
PLUMBERS, GLAZIERS = f"requests.{PLUMBER}", f"requests.{GLAZIER}"
WINDOW = 10


@pytest.fixture
def limit() -> DeadLetterLimit:
    return DeadLetterLimit(share=0.5, window=WINDOW)


def read(topic: str, *, good: int = 0, dead: int = 0, partition: int = 0) -> list[tuple[MemoryRecord, bool]]:
    """Read a partition's messages: the good ones, then the dead ones."""
    one = record(topic=topic, partition=partition)
    return [(one, False)] * good + [(one, True)] * dead


# The limit


def test_more_dead_letters_of_our_own_than_the_share_stop_the_service(limit: DeadLetterLimit) -> None:
    with pytest.raises(TooManyDeadLetters, match=r"50% of the last 10 messages of claim-commands"):
        limit.check(read(OURS, good=4, dead=6))


def test_dead_letters_up_to_the_share_are_put_up_with(limit: DeadLetterLimit) -> None:
    limit.check(read(OURS, good=5, dead=5))


def test_the_share_does_not_count_before_so_many_messages_were_read(limit: DeadLetterLimit) -> None:
    limit.check(read(OURS, dead=WINDOW - 1))
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, dead=1))


def test_only_the_last_messages_count(limit: DeadLetterLimit) -> None:
    limit.check(read(OURS, dead=5))
    limit.check(read(OURS, good=1000))
    limit.check(read(OURS, dead=5))
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, dead=1))


def test_many_good_messages_before_do_not_hide_that_the_last_ones_are_dead(limit: DeadLetterLimit) -> None:
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, good=10_000, dead=6))


def test_dead_letters_are_counted_over_batches(limit: DeadLetterLimit) -> None:
    for _ in range(5):
        limit.check(read(OURS, good=1, dead=1))
    limit.check(read(OURS, good=1))
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, dead=2))


def test_the_partitions_of_a_topic_are_counted_apart(limit: DeadLetterLimit) -> None:
    for partition in range(10):
        limit.check(read(OURS, dead=WINDOW - 1, partition=partition))
    limit.check(read(OURS, good=1000, partition=10))
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, dead=1, partition=4))


def test_one_companys_rubbish_never_stops_the_service(limit: DeadLetterLimit) -> None:
    for partition in range(3):
        limit.check(read(PLUMBERS, dead=1000, partition=partition))
    limit.check([*read(GLAZIERS, good=1000), *read(PLUMBERS, dead=1000)])


def test_the_rubbish_of_two_companies_stops_the_service(limit: DeadLetterLimit) -> None:
    limit.check(read(PLUMBERS, dead=WINDOW))
    with pytest.raises(TooManyDeadLetters, match=f"{GLAZIERS}, {PLUMBERS}"):
        limit.check(read(GLAZIERS, dead=WINDOW))


def test_a_company_that_sends_rubbish_no_more_counts_no_more(limit: DeadLetterLimit) -> None:
    limit.check(read(PLUMBERS, dead=WINDOW))
    limit.check(read(PLUMBERS, good=WINDOW))
    limit.check(read(GLAZIERS, dead=WINDOW))


def test_one_companys_rubbish_does_not_hide_our_own(limit: DeadLetterLimit) -> None:
    limit.check(read(PLUMBERS, dead=WINDOW))
    with pytest.raises(TooManyDeadLetters):
        limit.check(read(OURS, dead=WINDOW))


def test_a_share_of_everything_is_never_exceeded() -> None:
    DeadLetterLimit(share=1, window=WINDOW).check(read(OURS, dead=1000))


@given(
    outcomes=st.lists(st.booleans(), max_size=40),
    window=st.integers(1, 12),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    batch=st.integers(1, 7),
)
@settings(deadline=None)
def test_the_service_stops_at_the_first_batch_that_ends_over_the_share_of_a_full_window(
    outcomes: list[bool], window: int, share: float, batch: int
) -> None:
    limit = DeadLetterLimit(share=share, window=window)
    for start in range(0, len(outcomes), batch):
        end = min(start + batch, len(outcomes))
        recent = outcomes[max(0, end - window) : end]
        over = len(recent) == window and sum(recent) > share * window
        records = [(record(topic=OURS), dead) for dead in outcomes[start:end]]
        if over:
            with pytest.raises(TooManyDeadLetters):
                limit.check(records)
            return
        limit.check(records)


# The letter


def letter_of(dead: Record) -> DeadLetter:
    return DeadLetter.model_validate_json(dead_letter(dead, service="permissions", reason="it has no id").value)


@given(key=st.none() | st.binary(max_size=200), value=st.none() | st.binary(max_size=2000))
@example(key=b"", value=None)
@example(key=None, value=b"")
@settings(deadline=None)
def test_a_dead_letter_keeps_key_and_value_as_they_were(key: bytes | None, value: bytes | None) -> None:
    letter = letter_of(record(key=key, value=value))
    assert (letter.key, letter.value) == (key, value)


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_a_dead_letter_keeps_what_a_header_says_as_it_was(content: bytes) -> None:
    assert letter_of(record(headers=[("ce_id", content)])).headers == [("ce_id", content)]


@given(name=st.text(max_size=20))
@example(name=" ce_id")
@settings(deadline=None)
def test_a_dead_letter_keeps_the_name_of_a_header_as_it_was(name: str) -> None:
    assert letter_of(record(headers=[(name, b"1")])).headers == [(name, b"1")]


def test_a_header_without_a_value_is_kept_as_an_empty_one() -> None:
    dead = record(headers=[("ce_id", None)])  # type: ignore[list-item]  # Kafka has null headers
    assert letter_of(dead).headers == [("ce_id", b"")]


def test_a_header_that_is_there_twice_is_kept_twice() -> None:
    headers = [("ce_id", b"1"), ("ce_id", b"2")]
    assert letter_of(record(headers=headers)).headers == headers


def test_a_dead_letter_tells_where_the_message_was_and_who_did_not_understand_it_and_why() -> None:
    letter = letter_of(record(topic=PLUMBERS, partition=2, offset=41))
    assert letter.id == f"{PLUMBERS}/2/41"
    assert (letter.service, letter.reason) == ("permissions", "it has no id")
    assert letter.appended_at == TUESDAY_EVENING


def test_the_moment_of_a_dead_letter_is_the_brokers_append_time_to_the_millisecond() -> None:
    letter = letter_of(record(timestamp=1_795_536_720_123))
    assert letter.appended_at == datetime(2026, 11, 24, 16, 12, 0, 123_000, UTC)


def test_a_dead_letter_has_the_same_id_however_often_it_is_put_aside() -> None:
    dead = record(topic=PLUMBERS, partition=2, offset=41)
    first, again = (dead_letter(dead, service="permissions", reason="it has no id") for _ in range(2))
    assert first == again
    assert first.topic == "dead-letters"
    assert first.key == PLUMBERS
    assert dict(first.headers)["ce_id"] == f"{PLUMBERS}/2/41".encode()
