"""The directory in memory, read from its topic; every instance reads all of it, without a consumer group."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shared.contract.topics import DIRECTORY
from shared.domain.directory import LATEST, Directory
from shared.domain.unknown_settings import unknown_settings_by_company
from shared.messaging.follower import TopicReader
from shared.messaging.upstream import KafkaConsumer
from shared.recorded_directory import apply_record
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings


class DirectoryReader(TopicReader):
    """Keeps a directory up with its topic."""

    def __init__(self, settings: ServiceSettings, consumer: Callable[..., Any] = KafkaConsumer) -> None:
        self.directory = Directory()
        self.unknown_settings = UnknownSettingsWatch(self.directory)
        super().__init__(settings, DIRECTORY.name, partial(apply_record, self.directory), consumer)


class UnknownSettingsWatch:
    """Reports accepted settings that this installation does not know: once in the log, and in its health."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._changes_seen = -1
        self._found: frozenset[tuple[str, str]] = frozenset()

    def look(self) -> None:
        """Log what is new since the last look, if the directory has changed."""
        if self._changes_seen == self._directory.changes:
            return
        self._changes_seen = self._directory.changes
        unknown = unknown_settings_by_company(self._directory, LATEST)
        found = frozenset((company, text.en) for company, texts in unknown.items() for text in texts)
        for company, reason in sorted(found - self._found):
            log.warning("what a company has set is not known here", company=company, reason=reason)
        self._found = found

    def notes(self) -> Sequence[str]:
        """Return it for the health answer."""
        return [f"{company}: {reason}" for company, reason in sorted(self._found)]
