"""What may be committed: never past what is unfinished, whatever is finished first and wherever it begins again."""

import random
from itertools import count

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.memory import MemoryRecord
from shared.messaging.offsets import OffsetsInHand
from shared.messaging.record import Record

PARTITION = TopicPartition("a-topic", 0)


def records(offsets: range, *, later: int = 0) -> list[Record]:
    """Make records, each appended a millisecond after the one before it."""
    return [
        MemoryRecord(PARTITION.topic, PARTITION.partition, offset, offset + later, None, None) for offset in offsets
    ]


@given(seed=st.integers(0, 2**32), length=st.integers(1, 30), commits_fail=st.booleans())
def test_every_offset_is_finished_before_it_is_passed_and_all_are_in_the_end(
    seed: int, length: int, commits_fail: bool
) -> None:
    chance = random.Random(seed)
    offsets, position = OffsetsInHand(), 0
    in_hand: list[Record] = []
    read: dict[int, Record] = {}
    finished: dict[int, Record] = {}
    for step in count():
        action = chance.choice(["poll", "finish", "finish", "begin again"]) if step < 200 else "poll"
        if action == "begin again":  # its end was lost, or it was made anew: it is read from its beginning
            position = 0
            read.clear()
        if action in {"poll", "begin again"} or not in_hand:
            end = min(length, position + chance.randint(1, 5))
            fresh = records(range(position, end))
            offsets.take(fresh)
            in_hand += fresh
            read.update({record.offset: record for record in fresh})
            position = end
        if action == "finish" or step >= 200:
            chance.shuffle(in_hand)
            for record in [in_hand.pop()] if step < 200 and in_hand else in_hand:
                offsets.finish([record])
                finished[id(record)] = record
                ready = offsets.ready()
                passed = [read[offset] for at in ready.values() for offset in range(at)]
                assert all(id(record) in finished for record in passed)
                if ready and not (commits_fail and chance.random() < 0.3 and step < 200):
                    offsets.committed(ready)
            if step >= 200:
                in_hand.clear()
        if step >= 200 and position == length and not in_hand:
            break
    last = records(range(length, length + 1))
    offsets.take(last)
    offsets.finish(last)
    assert offsets.ready() == {PARTITION: length + 1}


def test_a_topic_that_was_made_again_is_read_from_its_beginning_and_committed_as_far_as_it_was_read() -> None:
    offsets = OffsetsInHand()
    old = records(range(90, 100))
    offsets.take(old)
    offsets.finish(old[:8])
    offsets.committed(offsets.ready())
    new = records(range(1), later=1000)
    offsets.take(new)
    offsets.finish(new)
    assert offsets.ready() == {PARTITION: 1}
    offsets.finish(old[8:])
    assert offsets.ready() == {PARTITION: 1}


def test_what_is_finished_of_a_topic_before_it_was_made_again_passes_nothing_of_it_now() -> None:
    offsets = OffsetsInHand()
    old, new = records(range(2)), records(range(1), later=1000)
    offsets.take(old)
    offsets.take(new)
    offsets.finish(old)
    assert offsets.ready() == {}
    offsets.finish(new)
    assert offsets.ready() == {PARTITION: 1}


def test_what_is_finished_after_all_was_forgotten_commits_nothing() -> None:
    offsets = OffsetsInHand()
    old = records(range(3))
    offsets.take(old)
    offsets.forget()
    offsets.finish(old)
    assert offsets.ready() == {}
