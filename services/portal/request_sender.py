"""Requests on behalf of a user: one on the company's topic, and a short wait for its outcome on the bus."""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from uuid import UUID

from aiokafka.errors import KafkaError

from services.portal.directory_follower import DirectoryFollower
from services.portal.live import Live
from services.portal.read_model import REQUEST_ID_PREFIX
from services.portal.store import Store
from shared.contract import ids
from shared.contract.envelope import Outgoing
from shared.contract.outcomes import Outcome, RequestAccepted
from shared.contract.requests import ClaimRequest, DirectoryRequest, Request
from shared.contract.topics import REQUESTS
from shared.domain.companies import User
from shared.messaging.publisher import Publisher
from shared.storage.database import DatabaseAway

_PUBLISH_S = 8.0
_LOOK_EVERY_S = 0.5
_OWN_ID = re.compile(re.escape(REQUEST_ID_PREFIX) + "[0-9a-f]{32}")


class BusAway(Exception):
    """The request is not known to have reached the bus: to be sent again with the same id, which changes nothing."""


@dataclass(frozen=True)
class SentRequest:
    """A request that the bus has; `outcome` is None while it is on its way."""

    request_id: str
    claim_id: UUID
    outcome: Outcome | None


def new_request_id() -> str:
    """Make an id for a form: sent twice, the form has one effect (domain rule 21)."""
    return REQUEST_ID_PREFIX + secrets.token_hex(16)


def is_request_id(text: str) -> bool:
    """Whether a form's id is one that was made here: no other one's outcome is found again."""
    return _OWN_ID.fullmatch(text) is not None


class RequestSender:
    """Sends users' requests."""

    def __init__(
        self, publisher: Publisher, store: Store, live: Live, follower: DirectoryFollower, outcome_wait_s: float
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._live = live
        self._follower = follower
        self._outcome_wait_s = outcome_wait_s

    async def send(self, user: User, request: Request, request_id: str) -> SentRequest:
        """Send a request and wait a little for its outcome, and for what it did to be on the pages. Raises BusAway."""
        claim_id = claim_of(user.company, request, request_id)
        with self._live.watch(user.company) as watch:
            await self._publish(user, request, request_id, claim_id)
            deadline = time.monotonic() + self._outcome_wait_s
            outcome: Outcome | None = None
            try:
                while True:
                    outcome = outcome or await self._store.outcome(user.company, request_id)
                    if outcome is not None and await self._is_shown(request, outcome, claim_id):
                        break
                    if time.monotonic() >= deadline:
                        break
                    await watch.news(_LOOK_EVERY_S)
            except (DatabaseAway, OSError, KafkaError):
                pass  # the bus has it: the page shows the outcome later
        return SentRequest(request_id, claim_id, outcome)

    async def _publish(self, user: User, request: Request, request_id: str, claim_id: UUID) -> None:
        message = Outgoing(
            REQUESTS.of(user.company),
            str(claim_id),
            (
                ("ce_specversion", b"1.0"),
                ("ce_id", request_id.encode()),
                ("ce_source", b"/claimbus/portal"),
                ("ce_type", request.type().encode()),
                ("ce_actor", user.name.encode()),
                ("content-type", b"application/json"),
            ),
            request.json_bytes_as_given(),
        )
        try:
            async with asyncio.timeout(_PUBLISH_S):
                await self._publisher.publish([message])
        except (KafkaError, TimeoutError, OSError) as error:
            raise BusAway from error

    async def _is_shown(self, request: Request, outcome: Outcome, claim_id: UUID) -> bool:
        if not isinstance(outcome, RequestAccepted):
            return True
        if isinstance(request, DirectoryRequest):
            await self._follower.catch_up()
            return True
        return outcome.redirected_to is not None or await self._store.shows(claim_id, outcome.request_id)


def claim_of(company: str, request: Request, request_id: str) -> UUID:
    """The claim that a request is about, or that it creates: the key of its message."""
    if isinstance(request, ClaimRequest):
        return request.claim_id
    return ids.claim_id(company, request_id)
