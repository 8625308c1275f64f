"""What a company sends that cannot be understood fills neither logs nor the topic of dead letters."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from operations.dead_letters import DeadLetters
from operations.stack import Stack
from shared.contract.dead_letters import DeadLetter
from shared.contract.topics import DEAD_LETTERS, REQUESTS
from tests.world import World, wait_until

MANY = 2_000
MOST_LINES = MANY // 10
BODY = b'{"insurer": "fjord-forsikring", "office": "vest-bergen", "policyholder": {"name": "Anne Berg"}}'


@pytest.mark.promise("What one company sends fills no log, and what is left out of it is counted.", about="running")
def test_logs_and_dead_letters_of_a_company_that_sends_rubbish_stay_smaller_than_what_it_sent(
    stack: Stack, world: World
) -> None:
    topic = REQUESTS.of(world.other_id)
    before = letter_bytes(stack)
    producer = Producer(world.connection.client(world.other_id))
    for n in range(MANY):
        producer.produce(topic, BODY, key=str(n))
    assert producer.flush(30) == 0
    letters = DeadLetters(world.connection)
    wait_until(lambda: len(of(topic, letters)) == MANY, what="all of it to be put aside")
    assert {letter.value for letter in of(topic, letters)} == {BODY}
    assert letter_bytes(stack) - before < MANY * len(BODY)
    log = (stack.folder / "logs" / "permissions-1.log").read_text()
    said = [line for line in map(json.loads, log.splitlines()) if line.get("topic") == topic]
    assert 0 < len(said) < MOST_LINES
    assert {line["event"] for line in said} == {"message is put aside"}


def of(topic: str, letters: DeadLetters) -> list[DeadLetter]:
    return [letter for letter in letters.open() if letter.source_topic == topic]


def letter_bytes(stack: Stack) -> int:
    folder = Path(stack.folder, "kafka", "log", f"{DEAD_LETTERS.name}-0")
    return sum(segment.stat().st_size for segment in folder.glob("*.log"))
