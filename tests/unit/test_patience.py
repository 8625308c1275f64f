"""How brokers that do not answer are waited for."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from operations.patience import ask


class Brokers:
    """Fail with these errors, one after the other, and then answer."""

    def __init__(self, *errors: int) -> None:
        self.waits_s: list[float] = []
        self._errors = list(errors)

    def __call__(self, wait_s: float) -> str:
        self.waits_s.append(wait_s)
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return "answer"


def test_brokers_that_are_late_are_asked_again_with_timeouts_that_grow() -> None:
    late = Brokers(KafkaError._TIMED_OUT, KafkaError._TRANSPORT)
    assert ask(late, 30.0) == "answer"
    assert late.waits_s == [0.5, 1.0, 2.0]


def test_in_the_end_it_fails_as_the_last_question_does() -> None:
    away = Brokers(*[KafkaError._TRANSPORT] * 100)
    with pytest.raises(KafkaException):
        ask(away, 0.1)
    assert len(away.waits_s) > 1
    assert max(away.waits_s) <= 0.1


def test_what_is_refused_is_not_asked_again() -> None:
    refused = Brokers(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        ask(refused, 30.0)
    assert len(refused.waits_s) == 1
