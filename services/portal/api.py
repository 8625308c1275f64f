"""The portal's calls for companies' systems, over HTTP: uploads and media."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.portal.media_store import MediaTables
from services.portal.uploads import RefusedUpload, Uploads
from shared.contract.envelope import details_of
from shared.contract.fields import Message
from shared.contract.uploads import NewUpload, UploadCode, UploadCompleted, UploadRefused, UploadStarted
from shared.errors import kind_and_place
from shared.media.keys import stored
from shared.media.names import disposition
from shared.media.types import MediaType
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway, reason_of
from shared.storage.media_store import MediaGone, MediaStore, StoreAway

CompanyOfToken = Callable[[str], Awaitable[str | None]]
"""Finds the company whose token has this SHA-256."""

_STATUS = {
    UploadCode.INVALID_REQUEST: 422,
    UploadCode.NO_TOKEN: 401,
    UploadCode.UNKNOWN_UPLOAD: 404,
    UploadCode.UNKNOWN_MEDIA: 404,
    UploadCode.UPLOAD_EXPIRED: 410,
    UploadCode.UPLOAD_COMPLETE: 409,
    UploadCode.UPLOAD_MISSING: 422,
    UploadCode.UPLOAD_BROKEN: 400,
    UploadCode.UPLOAD_DIFFERS: 422,
    UploadCode.MEDIA_TOO_LARGE: 413,
    UploadCode.MEDIA_TYPE_NOT_TAKEN: 415,
    UploadCode.TOO_MUCH_UNNAMED: 429,
    UploadCode.TRY_AGAIN: 503,
}
_AGAIN_S = 5
_LARGEST_BODY_BYTES = 16 * 1024
_LONGEST_NUMBER = 15
_STALLED_S = 60
FETCHED_WITHIN = timedelta(minutes=5)
FILE_HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}
"""A browser takes a file for the type that we declare, and runs nothing that is in it."""


def api(uploads: Uploads, tables: MediaTables, files: MediaStore, company_of: CompanyOfToken, address: str) -> ASGIApp:
    """Make the application; `address` is where it is reached."""

    async def start(request: Request) -> Response:
        company = await _company(request, company_of)
        try:
            wanted = NewUpload.model_validate_json(await _body(request))
        except ValidationError as error:
            raise RefusedUpload(UploadCode.INVALID_REQUEST, *details_of(error)) from None
        id, url = await uploads.start(company, wanted)
        return _json(UploadStarted(upload_id=id, upload_url=address + url if url.startswith("/") else url), 201)

    async def receive(request: Request) -> Response:
        length = request.headers.get("content-length", "")[:_LONGEST_NUMBER]
        await uploads.receive(
            request.path_params["signed"], int(length) if length.isdecimal() else None, _chunks(request)
        )
        return Response(status_code=204)

    async def complete(request: Request) -> Response:
        company = await _company(request, company_of)
        key = await uploads.complete(company, _id(request, UploadCode.UNKNOWN_UPLOAD))
        return _json(UploadCompleted(key=key), 200)

    async def fetch(request: Request) -> Response:
        company = await _company(request, company_of)
        file = await tables.file(_id(request, UploadCode.UNKNOWN_MEDIA), company)
        if file is None:
            raise RefusedUpload(UploadCode.UNKNOWN_MEDIA)
        if files.signs:
            url = await files.signed("GET", stored(file.stored_as), FETCHED_WITHIN)
            return RedirectResponse(url, 302, {"cache-control": "no-store"})
        path = files.path(stored(file.stored_as))
        if path is None or not path.exists():
            await files.ping()
            raise MediaGone(stored(file.stored_as))
        saved_as = {"content-disposition": disposition(file.name, MediaType(file.content_type))}
        return FileResponse(path, media_type=file.content_type, headers=FILE_HEADERS | saved_as)

    return Starlette(
        routes=[
            Route("/api/uploads", start, methods=["POST"]),
            Route("/api/uploads/{signed}", receive, methods=["PUT"]),
            Route("/api/uploads/{id}/complete", complete, methods=["POST"]),
            Route("/api/media/{id}", fetch),
        ],
        exception_handlers={
            RefusedUpload: _refused,
            ClientDisconnect: _broken,
            MediaGone: _gone,
            StoreAway: _away,
            DatabaseAway: _away,
            OSError: _away,
            Exception: _fault,
        },
    )


async def _company(request: Request, company_of: CompanyOfToken) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    company = None
    if scheme.lower() == "bearer" and token:
        company = await company_of(hashlib.sha256(token.strip().encode()).hexdigest())
    if company is None:
        raise RefusedUpload(UploadCode.NO_TOKEN)
    return company


def _id(request: Request, unknown: UploadCode) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise RefusedUpload(unknown) from None


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY_BYTES:
            raise RefusedUpload(UploadCode.INVALID_REQUEST)
    return body


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Read the body as it comes; a sender that stops halfway is not waited for."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_STALLED_S):
                chunk = await anext(stream, None)
        except (TimeoutError, ClientDisconnect):
            raise RefusedUpload(UploadCode.UPLOAD_BROKEN) from None
        if chunk is None:
            return
        if chunk:
            yield chunk


def _json(body: Message, status: int) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(body.json_bytes(), status, headers, media_type="application/json")


def _answer(code: UploadCode, refused: RefusedUpload | None = None) -> Response:
    details = refused.details or None if refused else None
    answer = _json(UploadRefused(code=code, message=code.message, details=details), _STATUS[code])
    if code is UploadCode.NO_TOKEN:
        answer.headers["www-authenticate"] = "Bearer"
    if code is UploadCode.TRY_AGAIN:
        answer.headers["retry-after"] = str(_AGAIN_S)
    return answer


async def _refused(_: Request, error: Exception) -> Response:
    return _answer(error.code, error) if isinstance(error, RefusedUpload) else _answer(UploadCode.TRY_AGAIN)


async def _broken(_: Request, _error: Exception) -> Response:
    return _answer(UploadCode.UPLOAD_BROKEN)


async def _gone(request: Request, error: Exception) -> Response:
    log.error("media are missing in the store", path=_without_signature(request), reason=kind_and_place(error))
    return _answer(UploadCode.UNKNOWN_MEDIA)


async def _away(request: Request, error: Exception) -> Response:
    log.warning("a call cannot be answered", path=_without_signature(request), reason=reason_of(error))
    return _answer(UploadCode.TRY_AGAIN)


async def _fault(request: Request, error: Exception) -> Response:
    log.error("a call fails", path=_without_signature(request), reason=kind_and_place(error))
    return _answer(UploadCode.TRY_AGAIN)


def _without_signature(request: Request) -> str:
    """The path of a call; who has the whole of an upload's address can send its bytes."""
    return str(request.scope["path"].split(".")[0])
