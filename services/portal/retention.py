"""Redacting the claims that an insurer has kept for as long as it has set, in its name, with nobody's doing.

The portal knows of each claim when something happened to it last, and may write insurers' requests. A request's id
follows from the claim and that last event, so it has one outcome, however often and from however many instances it is
sent. One that was refused, as while its link is taken back, is asked for again when more has happened.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiokafka.errors import KafkaError

from services.portal.store import Store
from shared.contract.envelope import Outgoing
from shared.contract.requests import RedactClaim
from shared.contract.topics import REQUESTS
from shared.domain.directory import Directory
from shared.errors import Misconfigured
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway

_AT_A_TIME = 1000
_EVERY_S = 3600.0


class Retention:
    """Asks now and then for as long as the service runs; several at once do no harm."""

    def __init__(
        self,
        store: Store,
        directory: Callable[[], Awaitable[Directory]],
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
    ) -> None:
        """`directory` returns it with all that was appended before it is asked for."""
        self._store = store
        self._directory = directory
        self._publish = publish
        self._asking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; safe to repeat."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._now_and_then())

    async def stop(self) -> None:
        """Stop."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    async def ask(self, now: datetime) -> int:
        """Ask for the claims that are kept long enough, the oldest first, some of each insurer; return how many.

        Raises DatabaseAway, or KafkaError, TimeoutError or OSError where no broker answers.
        """
        directory, asked = await self._directory(), 0
        for insurer in directory.insurers(now):
            days = directory.settings(insurer.id, now).forget_after_days
            if days:
                claims = await self._store.unchanged_since(insurer.id, now - timedelta(days=days), _AT_A_TIME)
                await self._publish([_request(insurer.id, *claim) for claim in claims])
                asked += len(claims)
        return asked

    async def _now_and_then(self) -> None:
        while True:
            try:
                if asked := await self.ask(datetime.now(UTC)):
                    log.info("claims that were kept long enough are to be redacted", asked=asked)
            except (DatabaseAway, KafkaError, TimeoutError, Misconfigured, OSError) as error:
                log.warning("claims that were kept long enough wait", reason=type(error).__name__)
            await asyncio.sleep(_EVERY_S)


def _request(insurer: str, claim_id: UUID, version: int) -> Outgoing:
    return Outgoing(
        REQUESTS.of(insurer),
        str(claim_id),
        (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"retention:{claim_id}:{version}".encode()),
            ("ce_source", b"/claimbus/portal"),
            ("ce_type", RedactClaim.type().encode()),
            ("content-type", b"application/json"),
        ),
        RedactClaim(claim_id=claim_id).json_bytes(),
    )
