"""The object store of media: a folder or S3. Bytes go through in chunks; a file is never whole in memory."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from shared.errors import TryAgain
from shared.media.types import FIRST_BYTES

MAX_MEDIA_BYTES = 100 * 1024 * 1024
"""100 MiB, the largest file that is taken."""

_MARK = "claimbus-media"
_CHUNK = 1024 * 1024
_SMALLEST_PART = 5 * 1024 * 1024
"""S3 takes no smaller part of a file that is sent in several."""
_PARTS_AT_ONCE = 2
_TRANSFER = timedelta(minutes=10)
"""The longest that one request to S3 may take, its bytes included."""
_NO_ANSWER = timedelta(seconds=20)


class StoreAway(TryAgain):
    """The store cannot be reached, is full, or does not let us in: try again."""


class MediaGone(Exception):
    """There is no such file in the store."""


class MediaDiffers(Exception):
    """The file's bytes are not the ones that were expected."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the store."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """When it was written; of a copy on S3 when it was copied. With a zone."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What was found by reading a file's bytes."""

    size: int
    """Bytes."""
    sha256: str
    """In lower-case hexadecimal."""
    first: bytes
    """Enough of its first bytes to recognise its type."""


class MediaStore:
    """The store. Every method raises StoreAway when it cannot be reached."""

    def __init__(self, store: LocalStore | S3Store, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def at(cls, address: str) -> "MediaStore":
        """Open the store at `file:///folder` or `s3://bucket/prefix`.

        S3 is reached as the ordinary variables say: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
        AWS_SECRET_ACCESS_KEY, or what the machine itself provides.
        A folder that is new or empty is marked as the store: where the mark is missing later, it is not mounted.
        A new one only its owner can go into; the modes of what is put into it are the process's (umask).
        Raises ValueError for another address, and StoreAway if the folder cannot be made.
        """
        parts = urlsplit(address)
        if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
            folder = Path(unquote(parts.path))
            with _away_if_it_fails():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                store = LocalStore(folder)
                if not any(folder.iterdir()):
                    (folder / _MARK).touch()
                return cls(store, folder)
        if parts.scheme == "s3" and parts.netloc:
            with _away_if_it_fails():
                return cls(_s3(parts.netloc, parts.path.strip("/") or None), None)
        raise ValueError("the address of the media store must be file:///folder or s3://bucket/prefix")

    @property
    def signs(self) -> bool:
        """Whether companies can be given addresses of the store's own: S3 can, a folder cannot."""
        return isinstance(self._store, S3Store)

    async def signed(self, method: Literal["GET", "PUT"], key: str, expires_in: timedelta) -> str:
        """Make an address at which anybody can read or write this one file for a while, on a store that signs."""
        if not isinstance(self._store, S3Store):
            raise TypeError("a folder has no addresses")
        with _away_if_it_fails():
            return await obstore.sign_async(self._store, method, key, expires_in)

    def path(self, key: str) -> Path | None:
        """Where a file is on this machine, in a store that is a folder; it need not be there."""
        return self._folder / key if self._folder is not None else None

    async def head(self, key: str) -> Stored:
        """A file's size and time, without reading it. Raises MediaGone."""
        async with self._reached():
            meta = await obstore.head_async(self._store, key)
        return Stored(key, meta["size"], meta["last_modified"])

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Read a file's bytes from `start` up to, without, `end`, a chunk at a time. Raises MediaGone."""
        options: obstore.GetOptions = {"range": {"offset": start} if end is None else (start, end)}
        async with self._reached():
            result = await obstore.get_async(self._store, key, options=options if start or end is not None else None)
            async for chunk in result.stream(_CHUNK):
                yield bytes(chunk)

    async def digest(self, key: str) -> Digest:
        """Read a file and return what its bytes are. Raises MediaGone."""
        size, sha256, first = 0, hashlib.sha256(), b""
        async for chunk in self.stream(key):
            first += chunk[: FIRST_BYTES - len(first)]
            size += len(chunk)
            sha256.update(chunk)
        return Digest(size, sha256.hexdigest(), first)

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None, disposition: str | None = None
    ) -> None:
        """Write a file, whole or not at all, in the place of one that is there.

        S3 keeps what the file is and what it is saved as (Content-Disposition), for those who fetch it there, and its
        copies have the same.
        What `chunks` raises is raised, and then nothing is written.
        """
        on_s3 = isinstance(self._store, S3Store)
        described = {"Content-Type": content_type, "Content-Disposition": disposition} if on_s3 else {}
        if self._folder is not None:
            await self.ping()  # a folder that is not mounted would take it
        async with self._reached():
            await obstore.put_async(
                self._store,
                key,
                aiter(chunks),
                attributes={attribute: value for attribute, value in described.items() if value} or None,
                use_multipart=True,
                chunk_size=_SMALLEST_PART if on_s3 else _CHUNK,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def copy(self, source: str, target: str, sha256: str) -> None:
        """Copy a file within the store and verify the copy by reading it: afterwards it is there and right.

        Safe to repeat, also at the same time: a copy that is there and right is left alone. The store makes the copy
        itself: S3 on its servers, a folder as a second name of the same bytes, which nothing overwrites (decision 21).
        Raises MediaGone, or MediaDiffers if the source is not what it should be; then there is no copy.
        """
        found = await self._sha256(target)
        if found == sha256:
            return
        if found is not None and self._folder is not None:
            await self.delete(target)  # S3 writes over it
        async with self._reached():
            if isinstance(self._store, S3Store):
                await obstore.copy_async(self._store, source, target)
            else:
                await self._name_once(source, target)
        if await self._sha256(target) == sha256:
            return
        if await self._sha256(source) == sha256:
            raise StoreAway("another replaces a wrong copy at the same time")
        await self.delete(target)
        raise MediaDiffers(source)

    async def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no fault."""
        with contextlib.suppress(MediaGone):
            async with self._reached():
                await obstore.delete_async(self._store, key)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every file whose key begins with a prefix that ends in a slash."""
        async with self._reached():
            async for batch in obstore.list(self._store, prefix):
                for meta in batch:
                    yield Stored(meta["path"], meta["size"], meta["last_modified"])

    async def remove_unfinished(self, prefix: str, before: datetime) -> int:
        """Remove the files below a prefix that were last written before a moment; return how many.

        In a folder also what was left of a transfer when a process died in the middle of it; on S3 that is for a rule
        of the bucket (AbortIncompleteMultipartUpload), since we could not tell it from what others are writing.
        """
        old = [file.key async for file in self.list(prefix) if file.modified < before]
        for key in old:
            await self.delete(key)
        return len(old) + (await asyncio.to_thread(_remove_remains, self._folder, before) if self._folder else 0)

    async def ping(self) -> None:
        """Raise StoreAway unless the store answers, and is the one that was made here."""
        if self._folder is not None and not (self._folder / _MARK).exists():
            raise StoreAway("the folder is not the store's; is it mounted?")
        try:
            with _away_if_it_fails():
                await obstore.list_with_delimiter_async(self._store, "answers/")
        except MediaGone as gone:
            raise StoreAway("there is no such store") from gone

    @contextlib.asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        """Raise StoreAway for what the store's own errors are, and MediaGone only if it is the store that says so."""
        try:
            with _away_if_it_fails():
                yield
        except MediaGone:
            await self.ping()
            raise

    async def _sha256(self, key: str) -> str | None:
        try:
            return (await self.digest(key)).sha256
        except MediaGone:
            return None

    async def _name_once(self, source: str, target: str) -> None:
        try:
            await obstore.copy_async(self._store, source, target, overwrite=False)
        except AlreadyExistsError:
            return  # another instance was first; whether it is right is seen next


def _s3(bucket: str, prefix: str | None) -> S3Store:
    return S3Store(
        bucket,
        prefix=prefix,
        client_options={
            "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
            "connect_timeout": _NO_ANSWER,
            "read_timeout": _NO_ANSWER,
            "timeout": _TRANSFER,
        },
        retry_config={"max_retries": 3, "retry_timeout": 2 * _NO_ANSWER},
    )


def _remove_remains(folder: Path, before: datetime) -> int:
    """Remove obstore's unfinished files, which have a number behind their name and are in no list."""
    with _away_if_it_fails():
        removed = 0
        for file in folder.rglob("*#*"):
            with contextlib.suppress(FileNotFoundError):  # it has just got its name
                if file.stat().st_mtime < before.timestamp():
                    file.unlink()
                    removed += 1
        return removed


@contextlib.contextmanager
def _away_if_it_fails() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MediaGone(str(error).partition("\n")[0]) from error
    except (BaseError, OSError, TimeoutError) as error:
        raise StoreAway(str(error).partition("\n")[0]) from error
