"""Messages that take every known way through the decoders, and some thousand mutated ones (`make fuzz` for more)."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.decoders import ANSWERED, PUT_ASIDE, READERS, Message
from tests.fuzz.mutations import CORPUS, mutated, seeds

pytestmark = pytest.mark.promise(
    "A million mutated messages: each is answered, or put aside with a reason, within bounds of time and memory.",
    about="requests",
)


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
def test_what_once_took_a_new_way_is_answered_or_put_aside(file: Path) -> None:
    assert list(Message.of(file.read_bytes()).read())


def test_there_are_messages_for_every_topic_to_begin_with() -> None:
    assert {message.topic for message in seeds()} == set(READERS)


@pytest.mark.parametrize("seed", range(3))
def test_mutated_messages_are_answered_or_put_aside(seed: int) -> None:
    source, messages, outcomes = random.Random(seed), seeds(), Counter[str]()
    for _ in range(1000):
        outcomes.update(mutated(source, messages).read())
    assert outcomes[ANSWERED] > 500  # else it would no longer reach what it is to try
    assert outcomes[PUT_ASIDE] > 100
