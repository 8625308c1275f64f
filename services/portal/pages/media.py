"""Multimedia: files of a claim for those who may see it, small pictures of them, and uploads from a browser."""

from uuid import UUID

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from services.portal.api import AS_IT_IS, FETCHED_WITHIN
from services.portal.media_store import File
from services.portal.thumbnails import Unreadable
from services.portal.uploads import Refused
from services.portal.viewer import language_of
from services.portal.web import portal_of, viewer_from
from shared.contract.uploads import NewUpload, UploadCode
from shared.media import MediaGone, StoreAway
from shared.media_keys import stored
from shared.media_types import MediaType

_FOR_A_DAY = {"cache-control": "private, max-age=86400, immutable", "x-content-type-options": "nosniff"}
_SHOWN = frozenset({MediaType.JPEG, MediaType.PNG, MediaType.WEBP, MediaType.MP4, MediaType.PDF})
"""What a browser shows itself; the others are downloaded."""


async def file(request: Request) -> Response:
    """Give a file of a claim that the viewer's company may see (domain rule 10)."""
    portal, found = portal_of(request), await _file(request)
    if portal.files.signs:
        url = await portal.files.signed("GET", stored(found.stored_as), FETCHED_WITHIN)
        return RedirectResponse(url, 302, {"cache-control": "no-store"})
    path = portal.files.path(stored(found.stored_as))
    if path is None or not path.exists():
        raise HTTPException(404)
    shown = "inline" if found.content_type in _SHOWN else "attachment"
    return FileResponse(
        path,
        media_type=found.content_type,
        filename=found.name,
        content_disposition_type=shown,
        headers=AS_IT_IS,
    )


async def thumbnail(request: Request) -> Response:
    """Give a small picture of a picture."""
    found = await _file(request)
    try:
        jpeg = await portal_of(request).thumbnails.of(found)
    except (MediaGone, Unreadable):
        raise HTTPException(404) from None
    except StoreAway:
        raise HTTPException(503) from None
    return Response(jpeg, media_type="image/jpeg", headers=_FOR_A_DAY)


async def start_upload(request: Request) -> Response:
    """Announce a file from a browser; tell where to send it."""
    company = viewer_from(request).company.id
    try:
        wanted = NewUpload.model_validate_json(await request.body())
        id, url = await portal_of(request).uploads.start(company, wanted)
    except ValidationError:
        return _refused(request, UploadCode.INVALID_REQUEST)
    except Refused as refused:
        return _refused(request, refused.code)
    except StoreAway:
        return _refused(request, UploadCode.TRY_AGAIN)
    return JSONResponse({"id": str(id), "url": url}, 201)


async def complete_upload(request: Request) -> Response:
    """Verify what the browser has sent; tell the key that a report names."""
    company = viewer_from(request).company.id
    try:
        key = await portal_of(request).uploads.complete(company, request.path_params["id"])
    except Refused as refused:
        return _refused(request, refused.code)
    except (StoreAway, ClientDisconnect):
        return _refused(request, UploadCode.TRY_AGAIN)
    return JSONResponse({"key": key})


async def _file(request: Request) -> File:
    id: UUID = request.path_params["media"]
    found = await portal_of(request).tables.file(id, viewer_from(request).company.id)
    if found is None:
        raise HTTPException(404)
    return found


def _refused(request: Request, code: UploadCode) -> Response:
    text = str(getattr(code.message, language_of(request)))
    return JSONResponse({"code": code, "message": text}, 503 if code is UploadCode.TRY_AGAIN else 422)
