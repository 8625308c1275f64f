"""Waiting for brokers in a way that Ctrl-C ends: within a call of librdkafka, Python does not hear it."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

_FIRST_S = 0.5
_PAUSE_S = 0.05
_NOBODY_ANSWERS = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)


def ask(question: Callable[[float], T], timeout_s: float) -> T:
    """Ask something with a timeout that is short at first, and again with longer ones until this one is over.

    What connects meanwhile goes on connecting. Raises KafkaException as the last question does.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = min(_FIRST_S, timeout_s)
    while True:
        try:
            return question(wait_s)
        except KafkaException as error:
            left_s = deadline - time.monotonic()
            if error.args[0].code() not in _NOBODY_ANSWERS or left_s <= 0:
                raise
            time.sleep(_PAUSE_S)
            wait_s = min(wait_s * 2, left_s)
