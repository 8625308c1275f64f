"""Multimedia: files of a claim for those who may see it, small pictures of them, and uploads from a browser."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from services.portal.api import FETCHED_WITHIN, FILE_HEADERS
from services.portal.media_store import File
from services.portal.picture_maker import Unreadable
from services.portal.uploads import RefusedUpload
from services.portal.visit import Visit
from shared.contract.fields import Message
from shared.contract.uploads import NewUpload, UploadCode
from shared.media.keys import stored
from shared.media.names import disposition, kept_name
from shared.media.types import FIRST_BYTES, MediaType, recognised
from shared.storage.database import DatabaseAway
from shared.storage.media_store import MediaGone, StoreAway

_FOR_A_DAY = {"cache-control": "private, max-age=86400, immutable", "x-content-type-options": "nosniff"}
_SHOWN = frozenset({MediaType.JPEG, MediaType.PNG, MediaType.WEBP, MediaType.MP4, MediaType.PDF})
"""What a browser shows itself; the others are downloaded."""


async def file(visit: Visit) -> Response:
    """Give a file of a claim that the viewer's company may see (domain rule 10)."""
    portal, found = visit.portal, await _file(visit)
    if portal.files.signs:
        url = await portal.files.signed("GET", stored(found.stored_as), FETCHED_WITHIN)
        return RedirectResponse(url, 302, {"cache-control": "no-store"})
    path = portal.files.path(stored(found.stored_as))
    if path is None or not path.exists():
        raise HTTPException(404)
    type = MediaType(found.content_type)
    saved_as = {"content-disposition": disposition(found.name, type, "inline" if type in _SHOWN else "attachment")}
    return FileResponse(path, media_type=type, headers=FILE_HEADERS | saved_as)


async def thumbnail(visit: Visit) -> Response:
    """Give a small picture of a picture."""
    found = await _file(visit)
    try:
        jpeg = await visit.portal.thumbnails.of(found, visit.viewer.company.id)
    except (MediaGone, Unreadable):
        raise HTTPException(404) from None
    except StoreAway:
        raise HTTPException(503) from None
    return Response(jpeg, media_type="image/jpeg", headers=_FOR_A_DAY)


class Chosen(Message):
    """A file that somebody chose, as the browser describes it."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    first: Annotated[bytes, Field(max_length=FIRST_BYTES)]
    """Its first bytes, which tell what it is: a browser goes by the name's ending, which phones and people change."""

    model_config = ConfigDict(val_json_bytes="base64")


async def start_upload(visit: Visit) -> Response:
    """Announce a file from a browser as what it is; return where to send it, and what a report says of it."""
    company = visit.viewer.company.id
    try:
        chosen = Chosen.model_validate_json(await visit.request.body())
        about = NewUpload(
            name=kept_name(chosen.name),
            content_type=recognised(chosen.first) or "application/octet-stream",
            size=chosen.size,
            sha256=chosen.sha256,
        )
        id, url = await visit.portal.uploads.start(company, about)
    except ValidationError:
        return _refused(UploadCode.INVALID_REQUEST)
    except RefusedUpload as refused:
        return _refused(refused.code)
    except (StoreAway, DatabaseAway):
        return _refused(UploadCode.TRY_AGAIN)
    return JSONResponse({"id": str(id), "url": url, "name": about.name, "content_type": about.content_type}, 201)


async def complete_upload(visit: Visit) -> Response:
    """Verify what the browser has sent; return the key that a report names."""
    company = visit.viewer.company.id
    try:
        key = await visit.portal.uploads.complete(company, visit.request.path_params["id"])
    except RefusedUpload as refused:
        return _refused(refused.code)
    except (StoreAway, DatabaseAway, ClientDisconnect):
        return _refused(UploadCode.TRY_AGAIN)
    return JSONResponse({"key": key})


async def _file(visit: Visit) -> File:
    id: UUID = visit.request.path_params["media"]
    found = await visit.portal.tables.file(id, visit.viewer.company.id)
    if found is None:
        raise HTTPException(404)
    return found


def _refused(code: UploadCode) -> Response:
    """The code alone: the page has the sentences, in its own language."""
    return JSONResponse({"code": code}, 503 if code is UploadCode.TRY_AGAIN else 422)
