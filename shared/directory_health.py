"""Telling operators what this installation does not know of what was accepted: in the log once, and by its health."""

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.directory import Directory
from shared.lacking import all_lacking
from shared.runtime.logs import log


class DirectoryHealth:
    """Looks again after the directory has changed."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._looked_at = -1
        self._found: frozenset[tuple[str, str]] = frozenset()

    def look(self) -> None:
        """Log what is new since the last look."""
        if self._looked_at == self._directory.changes:
            return
        self._looked_at = self._directory.changes
        lacking = all_lacking(self._directory, datetime.max.replace(tzinfo=UTC))
        found = frozenset((company, text.en) for company, texts in lacking.items() for text in texts)
        for company, reason in sorted(found - self._found):
            log.warning("what a company has set is not known here", company=company, reason=reason)
        self._found = found

    def notes(self) -> Sequence[str]:
        """What the health answer says of it."""
        return [f"{company}: {reason}" for company, reason in sorted(self._found)]
