"""Uploads: announced, sent, verified, and given the signed key that a report names.

The bytes are sent to `incoming`, as often as it takes. Completing reads them once, into a place where nobody can write
them again, and verifies on the way what is written there: size, SHA-256 and type.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from itsdangerous import BadSignature, Signer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.portal.media_store import MediaTables, Upload
from shared.contract.outcomes import Detail
from shared.contract.uploads import NewUpload, UploadCode
from shared.media.keys import MediaKeys, UploadedMedia, incoming, stored
from shared.media.names import disposition, kept_name
from shared.media.types import FIRST_BYTES, MediaType, declared, recognised
from shared.runtime import metrics
from shared.storage.media_store import MAX_MEDIA_BYTES, MediaGone, MediaStore

SENT_WITHIN = timedelta(hours=1)
"""How long an upload's bytes can be sent."""

_UPLOADED = metrics.MEDIA_BYTES.labels("uploaded")
_READ_AT_ONCE = 4
"""How many files are verified at a time, each with some 15 MiB of buffers where the store is S3."""


class UploadSettings(BaseSettings):
    """What is done with uploads."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_PORTAL_", extra="ignore", hide_input_in_errors=True)

    upload_days: int = Field(default=7, ge=1)
    """For so many days after it was completed an upload can be named in a report."""
    unnamed_gib: float = Field(default=10, gt=0)
    """So much a company can have uploaded that no report has named, in GiB."""
    sweep_every_s: float = Field(default=3600, gt=0)
    """How often what nothing refers to is removed."""


class RefusedUpload(Exception):
    """An upload call is refused, with a code that a developer can act on."""

    def __init__(self, code: UploadCode, *details: Detail) -> None:
        super().__init__(code)
        self.code = code
        self.details = list(details)


class Uploads:
    """What a company can do with its uploads. Every call raises RefusedUpload, DatabaseAway or StoreAway."""

    def __init__(
        self, tables: MediaTables, files: MediaStore, secrets: Sequence[str], settings: UploadSettings
    ) -> None:
        """The first secret signs keys and the addresses that bytes are sent to, all verify."""
        self._tables = tables
        self._files = files
        self._keys = MediaKeys(secrets)
        self._signer = Signer(
            list(reversed(secrets)), salt="claimbus.upload", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._settings = settings
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def start(self, company: str, wanted: NewUpload) -> tuple[UUID, str]:
        """Announce a file; return its upload's id, and where to send it: the store's address, or a path of ours."""
        if wanted.size > MAX_MEDIA_BYTES:
            raise RefusedUpload(
                UploadCode.MEDIA_TOO_LARGE, Detail(field="size", problem=f"is more than {MAX_MEDIA_BYTES}")
            )
        type = declared(wanted.content_type)
        if type is None:
            raise RefusedUpload(UploadCode.MEDIA_TYPE_NOT_TAKEN, Detail(field="content_type", problem="is not taken"))
        if await self._tables.unnamed_bytes(company) + wanted.size > self._settings.unnamed_gib * 1024**3:
            raise RefusedUpload(UploadCode.TOO_MUCH_UNNAMED)
        id = uuid4()
        about = wanted.model_copy(update={"name": kept_name(wanted.name), "content_type": type})
        await self._tables.start_upload(id, company, about, datetime.now(UTC))
        if self._files.signs:
            return id, await self._files.signed("PUT", incoming(id), SENT_WITHIN)
        return id, f"/api/uploads/{self._signer.sign(str(id)).decode()}"

    async def receive(self, signed: str, length: int | None, chunks: AsyncIterable[bytes]) -> None:
        """Take a file's bytes, where the store is a folder; what differs is not kept. It can be done again."""
        try:
            upload = await self._tables.upload(UUID(self._signer.unsign(signed).decode()))
        except (BadSignature, ValueError):
            raise RefusedUpload(UploadCode.UNKNOWN_UPLOAD) from None
        if upload is None or self._files.signs:
            raise RefusedUpload(UploadCode.UNKNOWN_UPLOAD)
        if upload.completed_at is not None:
            raise RefusedUpload(UploadCode.UPLOAD_COMPLETE)
        if datetime.now(UTC) > upload.started_at + SENT_WITHIN:
            raise RefusedUpload(UploadCode.UPLOAD_EXPIRED)
        if length is not None and length > upload.size:
            raise RefusedUpload(UploadCode.MEDIA_TOO_LARGE, _size(upload, length))
        await self._files.put(incoming(upload.id), verified(upload, chunks))

    async def complete(self, company: str, id: UUID) -> str:
        """Verify what was sent; return the key. Done again, it is the same key."""
        upload = await self._tables.upload(id)
        if upload is None or upload.company != company:
            raise RefusedUpload(UploadCode.UNKNOWN_UPLOAD)
        completed_at = upload.completed_at
        if completed_at is None:
            await self._store(upload)
            completed_at = await self._tables.complete_upload(id, datetime.now(UTC))
        await self._files.delete(incoming(id))
        name_by = completed_at + timedelta(days=self._settings.upload_days)
        return self._keys.sign(
            UploadedMedia(
                company=company,
                upload_id=id,
                name=upload.name,
                content_type=MediaType(upload.content_type),
                size=upload.size,
                sha256=upload.sha256,
                name_by=name_by.replace(microsecond=0),
            )
        )

    async def _store(self, upload: Upload) -> None:
        async with self._reading:
            try:
                await self._files.put(
                    stored(upload.id),
                    verified(upload, self._files.stream(incoming(upload.id))),
                    content_type=upload.content_type,
                    disposition=disposition(upload.name, MediaType(upload.content_type)),
                )
            except MediaGone:
                again = await self._tables.upload(upload.id)
                if again is None or again.completed_at is None:  # else another call was first, and has removed it
                    raise RefusedUpload(UploadCode.UPLOAD_MISSING) from None
            else:
                _UPLOADED.inc(upload.size)


async def verified(upload: Upload, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Pass a file's bytes on as they come. Raises RefusedUpload as soon as they are not what was announced."""
    size, sha256, first = 0, hashlib.sha256(), b""
    async for chunk in chunks:
        if len(first) < FIRST_BYTES:
            first += chunk[: FIRST_BYTES - len(first)]
            if len(first) == FIRST_BYTES:
                _check_type(upload, first)
        size += len(chunk)
        if size > upload.size:
            raise RefusedUpload(UploadCode.MEDIA_TOO_LARGE, _size(upload, size, "at least "))
        sha256.update(chunk)
        yield chunk
    _check_type(upload, first)
    details = []
    if size != upload.size:
        details.append(_size(upload, size))
    if sha256.hexdigest() != upload.sha256:
        details.append(Detail(field="sha256", problem=f"is {sha256.hexdigest()}"))
    if details:
        raise RefusedUpload(UploadCode.UPLOAD_DIFFERS, *details)


def _check_type(upload: Upload, first: bytes) -> None:
    found = recognised(first)
    if found != upload.content_type:
        problem = f"by its content it is {found or 'of no type that is taken'}"
        code = UploadCode.UPLOAD_DIFFERS if found else UploadCode.MEDIA_TYPE_NOT_TAKEN
        raise RefusedUpload(code, Detail(field="content_type", problem=problem))


def _size(upload: Upload, size: int, about: str = "") -> Detail:
    return Detail(field="size", problem=f"is {about}{size}, not {upload.size}")
