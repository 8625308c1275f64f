"""Companies that send a mix of requests, keep what they sent and were sent, and send again what is not answered."""

import contextlib
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer

from operations.bus import Company, Delivered, NewRequest
from shared.contract import ids
from shared.contract.topics import REQUESTS
from tests.builders.requests import new_request
from tests.world import World

_AGAIN_AFTER_S = 8.0
_RUBBISH, _TWICE, _LARGE, _SWAPPED = 0.05, 0.03, 0.01, 0.05
"""How likely each is of a request: that rubbish is sent before it, that it is appended twice, that it is as large as
a message may be, that it changes places with the next one."""
_LARGE_TEXT = "x" * 900_000
COPIED = "a file was copied for a link"


@dataclass
class Asked:
    """A request of a company, and what it knows of it."""

    request: NewRequest
    sent_at: float = 0.0
    acknowledged: bool = False
    """Whether the brokers have it for certain; of one that is not, nobody knows."""
    outcomes: list[Delivered] = field(default_factory=list)
    """Each that it was sent that differs from those before."""

    def __str__(self) -> str:
        outcomes = [outcome.body.get("code", outcome.type) for outcome in self.outcomes]
        return f"{self.request.name} {self.request.id}: acknowledged {self.acknowledged}, outcomes {outcomes}"


class Client:
    """One company. A patient one waits for what the brokers have for certain, and would miss what got lost for good."""

    def __init__(
        self,
        company: Company,
        requests: Iterator[NewRequest],
        client: dict[str, Any],
        chance: random.Random,
        *,
        is_patient: bool,
    ) -> None:
        self.id = company.id
        self.provoked: Counter[str] = Counter()
        self._chance = chance
        self.is_patient = is_patient
        self.asked: dict[str, Asked] = {}
        self.events: defaultdict[str, list[int]] = defaultdict(list)
        """The versions of each claim, in the order in which each came first."""
        self._company = company
        self._following: Company | None = None
        self._requests = self._swapped(requests)
        self._producer = Producer(
            client | {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 20_000}
        )

    def send(self, count: int) -> None:
        """Send so many new requests, and again those that were not answered for a while."""
        for _ in range(count):
            if self._chance.random() < _RUBBISH:
                self._send_rubbish()
            request = next(self._requests)
            asked = self.asked.setdefault(request.id, Asked(request))
            self._send(asked)
            self.provoked["as large as may be"] += len(request.value()) > len(_LARGE_TEXT)
            if self._chance.random() < _TWICE:
                self.provoked["appended twice"] += 1
                self._send(asked)
        for asked in self.unanswered():
            waits = asked.acknowledged and self.is_patient
            if not waits and time.monotonic() - asked.sent_at > _AGAIN_AFTER_S:
                self._send(asked)

    def read(self) -> None:
        """Take what has come."""
        self._producer.poll(0)
        if self._following is not None:
            self._company.close()
            self._company, self._following = self._following, None
        self._company.read(0)
        received, self._company.received = self._company.received, []
        for message in received:
            if message.is_outcome:
                asked = self.asked.get(message.body["request_id"])
                if asked is not None and message.body not in [known.body for known in asked.outcomes]:
                    asked.outcomes.append(message)
            elif "version" in message.body and message.body["version"] not in self.events[message.body["claim_id"]]:
                self.events[message.body["claim_id"]].append(message.body["version"])
                if message.type == "content-imported":
                    reports = [report for task in message.body["tasks"] for report in task["reports"]]
                    self.provoked[COPIED] += sum(len(report["media"]) for report in reports)

    def read_from(self, company: Company) -> None:
        """Read with another connection the next time, where the topic was made again; any thread may ask for it."""
        self._following = company

    def unanswered(self) -> list[Asked]:
        """The requests without an outcome."""
        return [asked for asked in self.asked.values() if not asked.outcomes]

    def close(self) -> None:
        """Close the connections."""
        self._producer.flush(1)
        self._company.close()

    def finish(self) -> None:
        """Wait until the brokers have taken or refused what was sent."""
        self._producer.flush(30)

    def _swapped(self, requests: Iterator[NewRequest]) -> Iterator[NewRequest]:
        """Let some change places with the next one."""
        for request in requests:
            if self._chance.random() < _SWAPPED:
                self.provoked["sent in another order"] += 1
                yield next(requests)
            yield request

    def _send_rubbish(self) -> None:
        """Send what nobody can read, or answer."""
        self.provoked["rubbish sent"] += 1
        value, headers = self._chance.choice(_ALL_RUBBISH)
        with contextlib.suppress(KafkaException):
            self._producer.produce(REQUESTS.of(self.id), key="rubbish", value=value, headers=headers)

    def _send(self, asked: Asked) -> None:
        asked.sent_at = time.monotonic()

        def noted(error: Any, _: Any) -> None:
            asked.acknowledged |= error is None

        with contextlib.suppress(KafkaException):  # its topic is deleted, and made again later
            self._produce(asked, noted)

    def _produce(self, asked: Asked, noted: Callable[[Any, Any], None]) -> None:
        self._producer.produce(
            REQUESTS.of(self.id),
            key=asked.request.key_for(self.id),
            value=asked.request.value(),
            headers=asked.request.headers(self.id),
            on_delivery=noted,
        )


_ALL_RUBBISH: list[tuple[bytes | None, list[tuple[str, str | bytes | None]]]] = [
    (None, []),
    (b"{}", []),
    (b"{}", [('"ce_id"', b'"in quotation marks"')]),
    (b"\xff" * 100, [("ce_id", b"\xff"), ("ce_specversion", b"1.0")]),
    (b"[" * 10_000, [("content-type", b"application/cloudevents+json")]),
]


def refused_requests(world: World, run: str) -> Iterator[NewRequest]:
    """Make those of a partner whose office may never create a claim."""
    for n in itertools.count(1):
        yield world.creation(id=f"{run}:{n}", office=world.other_office)


def partners_requests(
    world: World, chance: random.Random, run: str, file: Callable[[], list[dict[str, Any]]]
) -> Iterator[NewRequest]:
    """Make a partner's: mostly new claims, and what is done to them, some of it wrong, some sent twice.

    A report names what `file` gives.
    """
    created: list[NewRequest] = []
    n = 0
    while True:
        n += 1
        id = f"{run}:{n}"
        kind = chance.random()
        if kind < 0.55 or not created:
            office = world.office if chance.random() < 0.9 else world.second_office
            created.append(world.creation(id=id, office=office, tasks=[{"kind": "first_aid"}]))
            yield created[-1]
            continue
        claim = ids.claim_id(world.partner_id, chance.choice(created).id)
        of = {"id": id, "claim_id": str(claim)}
        if kind < 0.62:
            yield chance.choice(created)  # the same again, with the same id
        elif kind < 0.62 + _LARGE:
            yield world.creation(id=id, policy_number=_LARGE_TEXT)
        elif kind < 0.65:
            yield world.creation(id=id, policyholder={"name": "", "phone": "12"})
        elif kind < 0.80:
            task = str(ids.created_task_id(claim, 1))
            yield new_request("report-task", **of, task_id=task, text=f"Rapport {n}", media=file())
        elif kind < 0.90:
            yield new_request("assign-task", **of, kind="inspection", office=None)
        else:
            yield new_request("amend-claim", **of, policy_number=f"P-{n}")


def insurers_requests(world: World, partner: Client, chance: random.Random, run: str) -> Iterator[NewRequest]:
    """Make an insurer's: normal claims, links into them and back, conversions, cancellations, permissions, settings."""
    registered: list[str] = []
    n = 0
    while True:
        n += 1
        id = f"{run}:{n}"
        kind = chance.random()
        names = [asked for asked in partner.asked.values() if asked.request.name == "create-temporary-claim"]
        claim = str(ids.claim_id(world.partner_id, chance.choice(names).request.id)) if names else None
        if kind < 0.3 or claim is None or not registered:
            registered.append(str(ids.claim_id(world.insurer_id, id)))
            yield world.registration(f"{run}-{n}", id=id)
        elif kind < 0.55:
            target = chance.choice(registered)
            yield new_request("link-claim", id=id, claim_id=claim, target_claim_number=None, target_claim_id=target)
        elif kind < 0.65:
            yield new_request("unlink-claim", id=id, claim_id=claim)
        elif kind < 0.75:
            number = f"{run}-{chance.randrange(n + 1)}"  # some are taken
            yield new_request("convert-to-normal", id=id, claim_id=claim, claim_number=number, handler=world.handler)
        elif kind < 0.8:
            yield new_request("cancel-claim", id=id, claim_id=claim)
        elif kind < 0.95:
            creation = chance.choice(["never", "outside_office_hours", "always"])
            yield new_request("set-office-permission", id=id, office=world.second_office, creation=creation)
        else:
            needs = chance.random() < 0.5
            yield NewRequest("set-portal-settings", {"inspection_needs_budget": needs}, id=id)
