"""The signed key of an upload, by which claims decides about media without a store, and where its bytes are.

Pure: no store, no clock. Anybody can read what a key says; nobody without the secret can make one.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from shared.media.types import MediaType

INCOMING = "incoming/"
MEDIA = "media/"


def incoming(upload_id: UUID) -> str:
    """Where in the store a file is while it is uploaded; its company can write it, several times."""
    return f"{INCOMING}{upload_id}"


def stored(id: UUID) -> str:
    """Where in the store a file is that was verified, which nobody writes again.

    `id` is that of its upload, or where a link copied it, the copy's media id.
    """
    return f"{MEDIA}{id}"


@dataclass(frozen=True, slots=True)
class UploadedMedia:
    """A file that was uploaded, and whose bytes were verified to be these."""

    company: str
    """Who uploaded it, and alone may name it in a report."""
    upload_id: UUID
    name: str
    content_type: MediaType
    size: int
    """Bytes."""
    sha256: str
    """In lower-case hexadecimal."""
    name_by: datetime
    """A report may name it until this moment (whole seconds, UTC): the append time of the request counts."""


class MediaKeys:
    """Signs and verifies keys, with HMAC-SHA-256."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """The first secret signs, all verify: a new one is put before the old one, which goes when its keys are old."""
        if not secrets or not all(secrets):
            raise ValueError("there must be a secret to sign media keys with, and none of them empty")
        self._serializer = URLSafeSerializer(
            list(reversed(secrets)),
            salt="claimbus.media-key.v1",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def sign(self, media: UploadedMedia) -> str:
        """Make the key: URL-safe text of about 300 characters."""
        fields = [
            media.company,
            _short(media.upload_id.bytes),
            media.name,
            media.content_type,
            media.size,
            _short(bytes.fromhex(media.sha256)),
            int(media.name_by.timestamp()),
        ]
        text: str | bytes = self._serializer.dumps(fields)
        return text if isinstance(text, str) else text.decode()

    def verify(self, key: str) -> UploadedMedia | None:
        """What a key says, or None if we have not signed it. Whether it may still be named is not asked."""
        try:
            company, upload_id, name, content_type, size, sha256, name_by = self._serializer.loads(key)
            return UploadedMedia(
                company=company,
                upload_id=UUID(bytes=_long(upload_id)),
                name=name,
                content_type=MediaType(content_type),
                size=size,
                sha256=_long(sha256).hex(),
                name_by=datetime.fromtimestamp(name_by, UTC),
            )
        except (BadData, ValueError, TypeError, binascii.Error):
            return None


def _short(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _long(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
