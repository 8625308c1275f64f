"""How a batch is shared out between topics, so that nobody waits for what another sends (docs/decisions/0072)."""

import math
import random
import time
from collections.abc import Callable, Collection, Mapping

from shared.contract.topics import REQUESTS

_TOPICS_AT_ONCE = 30
MODEST = 50.0
"""Messages within about a second; a company that sends more can wait for one that does not."""
BESIDE_MODEST = 30
"""So many of a batch such a company has meanwhile: what is soon decided, here and behind, holds nobody up for long."""
RESTS_S = 0.1
"""Then it has none of the batches of so long, so that most of what others ask for meets nothing of it at all."""
_WAITED_FOR_S = 5.0
"""So long after its last message, others leave room for a company that sends little."""


class Shares:
    """Which topics of those that have something are taken of, and how much."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sent: dict[str, tuple[float, float]] = {}
        """What a company has sent, as of when; of it a second later some third counts."""
        self._sending_much: set[str] = set()
        self._waited_for_until: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}

    def of(self, topics: Collection[str], most: int) -> Mapping[str, int]:
        """Take so much of each of these topics; where there are too many of them, it falls to some by lot."""
        bounded, resting = (self._sending_much, self.resting()) if self.are_bounded() else ((), {})
        ready = [topic for topic in topics if topic not in resting]
        chosen = random.sample(ready, min(len(ready), _TOPICS_AT_ONCE, most))
        return {topic: min(most // len(chosen), BESIDE_MODEST if topic in bounded else most) for topic in chosen}

    def are_bounded(self) -> bool:
        """Whether a company sends much while another one sends little: then batches are not filled up."""
        self._sending_much = {topic for topic in self._sending_much if self._lately(topic) > MODEST}
        return bool(self._sending_much) and any(until > self._now() for until in self._waited_for_until.values())

    def took(self, topic: str, messages: int) -> None:
        """Note how many of a topic's messages were taken."""
        if not topic.startswith(REQUESTS.prefix):
            return
        lately = self._lately(topic) + messages
        self._sent[topic] = lately, self._now()
        if lately > MODEST:
            self._sending_much.add(topic)
            self._rests_until[topic] = self._now() + RESTS_S
            self._waited_for_until.pop(topic, None)  # not even when it has nothing more to send
        else:
            self._waited_for_until[topic] = self._now() + _WAITED_FOR_S

    def resting(self) -> dict[str, float]:
        """Return who has nothing more of a batch for how long, in seconds, while batches are bounded."""
        left_s = {topic: self._rests_until[topic] - self._now() for topic in self._sending_much}
        return {topic: left for topic, left in left_s.items() if left > 0}

    def _lately(self, topic: str) -> float:
        sent, at = self._sent.get(topic, (0.0, 0.0))
        return sent * math.exp(at - self._now())
