"""The directory as it is now: read from its topic into memory, and followed."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from shared.contract.topics import DIRECTORY
from shared.directory_reader import UnknownSettingsWatch
from shared.domain.directory import Directory
from shared.errors import Misconfigured, kind_and_place
from shared.messaging.follower import TopicReader
from shared.messaging.record import Record
from shared.messaging.upstream import KafkaConsumer
from shared.recorded_directory import apply_record
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

_LOOK_EVERY_S = 0.3
_PATIENCE_S = 5.0


class DirectoryNotRead(Exception):
    """The directory has not been read yet: that somebody is not in it means nothing."""


class DirectoryFollower:
    """Every instance follows the whole topic; `reachable` is whether the brokers answered the last look."""

    def __init__(self, settings: Callable[[], ServiceSettings], consumer: Callable[..., Any] = KafkaConsumer) -> None:
        self.directory = Directory()
        self.unknown_settings = UnknownSettingsWatch(self.directory)
        self.reachable = False
        self.was_read = False
        """Whether all that there was has been read once; until then nobody is known."""
        self._settings = settings
        self._consumer = consumer
        self._reader: TopicReader | None = None
        self._one_at_a_time = asyncio.Lock()
        self._follow_task: asyncio.Task[None] | None = None

    @property
    def changes(self) -> int:
        """How many messages changed anything that is in force."""
        return self.directory.changes

    async def start(self) -> None:
        """Read all that there is, and follow from then on. Raises KafkaError."""
        await self.catch_up()
        if self._follow_task is None:
            self._follow_task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop keeping up."""
        if self._follow_task is not None:
            self._follow_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follow_task
        if self._reader is not None:
            await self._reader.stop()

    async def catch_up(self) -> None:
        """Apply all that was appended before this call. Raises KafkaError or TimeoutError."""
        async with self._one_at_a_time:
            if self._reader is None:
                self._reader = TopicReader(self._settings(), DIRECTORY.name, self._apply, self._consumer)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._reader.catch_up()
            except (KafkaError, TimeoutError, OSError):
                self.reachable = False
                raise
            self.reachable = self.was_read = True
            self.unknown_settings.look()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.catch_up()
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("the directory cannot be followed", reason=type(error).__name__)

    def _apply(self, record: Record) -> None:
        try:
            apply_record(self.directory, record)
        except Misconfigured as fault:
            log.error("directory message cannot be read", offset=record.offset, reason=kind_and_place(fault))
