"""Whether every file that a report tells of is in the store as it was verified: reads all of them."""

import asyncio
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from operations.connection import Connection, Unreachable
from shared.audit.invariants import claim_of
from shared.audit.spool import Spool
from shared.audit.violations import Tally, Violation, named
from shared.storage.media_store import MediaGone, MediaStore

MEDIA = named("files-as-verified", "Every file of a report is in the store, with the size and SHA-256 that it had.")
REMOVED = named("redacted-files-gone", "The files of a claim that was redacted are gone from the store.")
_AT_A_TIME = 4

Row = tuple[Any, ...]


async def check_media(connection: Connection, spool: Spool, tally: Tally, advance: Callable[[int], None]) -> None:
    """Read each file; the copies of a link that was taken back are gone. Raises Unreachable or StoreAway."""
    store = _store(connection)
    rows = spool.query(
        """select claim, version, key, size, sha256 from media m where link is null or not exists
            (select 1 from link_events l where l.link = m.link and l.kind = 'withdrawn')"""
    )
    while some := list(islice(rows, _AT_A_TIME)):
        for found in await asyncio.gather(*(_problem(store, row) for row in some)):
            tally.add(() if found is None else [found])
        advance(len(some))
    left = spool.query(
        """select distinct f.claim, f.key from removed_media f join redactions r using (claim)
        join read_models m on m.claim = f.claim and m.reader = 'portal' and m.version >= r.version
        where f.key not in (select key from removals) and f.key not in (select key from media)"""
    )
    for claim, key in list(left):
        try:
            await store.head(key)
        except MediaGone:
            continue
        tally.add(
            [Violation(REMOVED, claim_of(claim), f"{key} is in the store still, and does not wait to be removed")]
        )


async def _problem(store: MediaStore, row: Row) -> Violation | None:
    claim, version, key, size, sha256 = row
    about = f"{claim_of(claim)}/{version}"
    try:
        found = await store.digest(key)
    except MediaGone:
        return Violation(MEDIA, about, f"{key} is not in the store")
    if (found.size, found.sha256) != (size, sha256):
        return Violation(MEDIA, about, f"{key} is not what was verified")
    return None


def _store(connection: Connection) -> MediaStore:
    if connection.media is None:
        raise Unreachable("the connection does not say where the store of media is (media)")
    parts = urlsplit(connection.media)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        raise Unreachable(f"the store of media is not at {connection.media}")  # opening it would make it
    return MediaStore.at(connection.media)
