"""The three stages of a peer, and how each of its processes learns where it works: from its environment.

Topics are a peer's own, like those of the contract: the same partitions, settings and keys.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, EVENTS, REQUEST_OUTCOMES, REQUESTS, Topic
from shared.runtime.settings import KafkaSettings


class Stage(StrEnum):
    """A process, named like the service whose place it has."""

    PERMISSIONS = "permissions"
    CLAIMS = "claims"
    DELIVERY = "delivery"


@dataclass(frozen=True)
class Place:
    """The names of one peer's topics and groups, in one run of it."""

    prefix: str
    partner: str
    insurer: str

    @classmethod
    def from_environment(cls) -> "Place":
        """As `environment` wrote it."""
        return cls(os.environ["PEER_PREFIX"], os.environ["PEER_PARTNER"], os.environ["PEER_INSURER"])

    @property
    def environment(self) -> dict[str, str]:
        """What a process reads."""
        return {"PEER_PREFIX": self.prefix, "PEER_PARTNER": self.partner, "PEER_INSURER": self.insurer}

    @property
    def requests(self) -> str:
        """The partner's requests."""
        return f"{self.prefix}.{REQUESTS.of(self.partner)}"

    @property
    def commands(self) -> str:
        """What the claims stage reads."""
        return f"{self.prefix}.{CLAIM_COMMANDS.name}"

    @property
    def events(self) -> str:
        """What it says of claims."""
        return f"{self.prefix}.{CLAIM_EVENTS.name}"

    @property
    def outcomes(self) -> str:
        """What it says of requests."""
        return f"{self.prefix}.{REQUEST_OUTCOMES.name}"

    @property
    def of_partner(self) -> str:
        """What the partner reads."""
        return f"{self.prefix}.{EVENTS.of(self.partner)}"

    @property
    def of_insurer(self) -> str:
        """What the insurer reads."""
        return f"{self.prefix}.{EVENTS.of(self.insurer)}"

    @property
    def topics(self) -> dict[str, Topic]:
        """All topics, with what the contract says of each."""
        return {
            self.requests: REQUESTS,
            self.commands: CLAIM_COMMANDS,
            self.events: CLAIM_EVENTS,
            self.outcomes: REQUEST_OUTCOMES,
            self.of_partner: EVENTS,
            self.of_insurer: EVENTS,
        }

    @property
    def groups(self) -> Mapping[str, Collection[str]]:
        """What the stages read."""
        return {
            self.group(Stage.PERMISSIONS): [self.requests],
            self.group(Stage.CLAIMS): [self.commands],
            self.group(Stage.DELIVERY): [self.events, self.outcomes],
        }

    def group(self, stage: Stage) -> str:
        """A stage's consumer group."""
        return f"{self.prefix}.{stage}"


def kafka_client() -> dict[str, Any]:
    """How aiokafka connects."""
    return KafkaSettings().client()
