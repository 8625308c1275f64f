"""What was found, laid down in SQLite so that memory stays bounded: ids, versions, places and digests of messages.

Rows are appended without an index, and indexed when all are there, which is a sort and no walk through a tree for each.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

_ROWS_AT_A_TIME = 5000

_TABLES = {
    # Of the topics, by where it was read. `passed` says that the reader's committed offset, which was asked for before
    # the topic's end was, is behind it: what follows from it must be found.
    "requests": "company, id, part, off, at, directory, digest, code, decision, passed",
    "commands": "company, id, part, off, requested_at, step, digest, code, decision, passed",
    "directory_entries": "company, id, at",
    "directory_requests": "company, id, at, headers, value",
    "outcomes": "company, id, directory, part, off, requested_at, digest, code, decision, passed",
    "outcome_copies": "receiver, company, id, directory, part, off, requested_at, digest",
    "events": "claim, version, part, off, digest, passed",
    "copies": "receiver, claim, version, part, off, digest",
    "others": "receiver, owner, type, part, off",
    "link_requests": "link, link_part, part, off, at, passed",
    "letters": "service, topic, part, off",
    "unreadable": "topic, part, off, reason, passed",
    "too_far": "service, topic, part, off, end",
    # Of the tables.
    "recorded_requests": "company, id, claim, requested_at, outcome, type, digest",
    "recorded_events": "claim, version, company, id, at, digest",
    "expected_copies": "receiver, claim, version, digest",
    "numbers": "insurer, key, claim, number",
    "recorded_numbers": "insurer, key, claim",
    "link_events": "link, kind, link_part, claim, version, at",
    "linked_claims": "claim, link, parts",
    "tasks": "claim, task, facts",
    "imported_tasks": "link, source_task, task, facts",
    "withdrawn_tasks": "link, task",
    "reports": "claim, report, files",
    "imported_reports": "link, report, files, claim, version",
    "reported_there": "link, report, files",
    "returned_reports": "link, report, files, claim, version",
    "media": "claim, version, link, key, size, sha256",
    # With which version a claim was redacted; the links that it is at either end of; what the store has of it no more.
    "redactions": "claim, version",
    "redacted_links": "link",
    "removed_media": "claim, key",
    "removals": "key",
    "readers": "reader",
    "read_models": "reader, claim, version, parts",
    "read_apart": "reader, claim, digest",
    "recorded_refusals": "company, id, at, digest",
    "counted_refusals": "company, id, digest",
    # From when on what each topic has is whole, in milliseconds since 1970.
    "kept": "topic, since",
    # How long before its request something on a topic was appended, by the brokers' clocks, at most, in milliseconds.
    "clocks": "topic, apart",
}
_INDICES = {
    "requests": ["company, id, at"],
    "commands": ["company, id, requested_at"],
    "directory_entries": ["company, id"],
    "directory_requests": ["company, id, at"],
    "outcomes": ["company, id, directory, digest"],
    "outcome_copies": ["company, id, directory"],
    "events": ["claim, version"],
    "copies": ["claim, version, receiver", "receiver, claim, version"],
    "letters": ["topic, part, off"],
    "recorded_requests": ["company, id"],
    "recorded_events": ["claim, version", "company, id"],
    "expected_copies": ["claim, version, receiver"],
    "numbers": ["insurer, key"],
    "recorded_numbers": ["insurer, key"],
    "link_events": ["link, kind"],
    "tasks": ["claim"],
    "imported_tasks": ["link, source_task"],
    "withdrawn_tasks": ["link, task"],
    "reports": ["claim", "report"],
    "imported_reports": ["link, report"],
    "returned_reports": ["link, report"],
    "redactions": ["claim"],
    "redacted_links": ["link"],
    "removals": ["key"],
    "read_models": ["claim, reader"],
    "read_apart": ["claim, reader"],
    "recorded_refusals": ["company, id"],
    "counted_refusals": ["company, id"],
}


def digest(type: str, body: bytes) -> bytes:
    """Return what stands for a message's bytes, with its type."""
    return blake2b(type.encode() + b"\0" + body, digest_size=16).digest()


class Spool:
    """What was found on topics and in tables. A path is for as much as there is; without one it is in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off", "locking_mode = exclusive", "cache_size = -65536"):
            self._connection.execute(f"pragma {pragma}")
        for table, columns in _TABLES.items():
            self._connection.execute(f"create table {table} ({columns})")
        self._waiting: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.counts: defaultdict[str, int] = defaultdict(int)
        """How many rows each table has."""

    def add(self, table: str, *row: Any) -> None:
        """Append a row, with a value for each of the table's columns."""
        rows = self._waiting[table]
        rows.append(row)
        if len(rows) >= _ROWS_AT_A_TIME:
            self._write(table)

    def index_early(self, *tables: str) -> None:
        """Make ready to look for things in tables to which no more is added."""
        for table in tables:
            self._write(table)
            for number, columns in enumerate(_INDICES[table]):
                self._connection.execute(f"create index if not exists {table}_{number} on {table} ({columns})")

    def index(self) -> None:
        """Make ready to look for things, when all is there."""
        for table in list(self._waiting):
            self._write(table)
        self.index_early(*_INDICES)
        self._connection.execute("analyze")
        kept = dict(self.query("select topic, since from kept"))
        self._connection.create_function("since", 1, lambda topic: kept.get(topic, 0), deterministic=True)

    def query(self, sql: str, values: Mapping[str, Any] = MappingProxyType({})) -> Iterator[tuple[Any, ...]]:
        """Read rows, one after the other; `values` are for what SQL names with a colon.

        `since` of a topic is from when on it has all that was appended, in milliseconds since 1970.
        """
        return self._connection.execute(sql, dict(values))

    def count(self, sql: str, values: Mapping[str, Any] = MappingProxyType({})) -> int:
        """Return the number that a query finds."""
        (row,) = self.query(sql, values)
        return int(row[0] or 0)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _write(self, table: str) -> None:
        rows = self._waiting.pop(table, [])
        if rows:
            self.counts[table] += len(rows)
            places = ", ".join("?" * len(rows[0]))
            self._connection.execute("begin")
            self._connection.executemany(f"insert into {table} values ({places})", rows)  # noqa: S608 - our own names
            self._connection.execute("commit")
