"""What a service writes while something of it is away can be read."""

import logging

from shared.runtime.logs import SaidLately


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, values, None)


def test_a_library_says_a_sentence_once_in_ten_seconds() -> None:
    clock = [0.0]
    said = SaidLately("aiokafka", every_s=10, now=lambda: clock[0])

    def says(message: str, *values: object) -> bool:
        return said.filter(record("aiokafka.client", message, *values))

    assert says("Unable to connect to %s", 1)
    assert not says("Unable to connect to %s", 2)
    assert says("Unable to update metadata")
    clock[0] = 9.9
    assert not says("Unable to connect to %s", 1)
    clock[0] = 10
    assert says("Unable to connect to %s", 1)


def test_what_we_say_is_always_said() -> None:
    said = SaidLately("aiokafka")
    assert all(said.filter(record("claimbus", "batch is tried again")) for _ in range(3))
