"""The upload calls over HTTP on a real PostgreSQL, with a folder and with a real S3 API."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.embedded import free_port
from services.portal.api import CompanyOfToken, api
from services.portal.media_store import MediaTables, save_media, uploads
from services.portal.serving import WebServer
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.sweeping import Sweeper
from services.portal.uploads import Uploads, UploadSettings
from shared.contract.events import (
    ClaimEvent,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    ImportedMedia,
    ImportedReport,
    ImportedTask,
    Report,
    ReportedMedia,
    TaskReported,
)
from shared.contract.fields import Actor
from shared.contract.uploads import UploadCode
from shared.media.keys import MediaKeys, incoming, stored
from shared.media.names import disposition
from shared.media.types import MediaType
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from shared.storage.media_store import MediaGone, MediaStore
from tests.builders.events import about, task
from tests.builders.requests import FJORD, NORD, VEST
from tests.integration.conftest import Databases, engine_of
from tests.s3 import BUCKET, s3_server

pytestmark = pytest.mark.promise(
    "A key is given only for bytes that are what was announced; files go through in chunks, on a folder and on S3.",
    about="links",
)

SETTINGS = UploadSettings(unnamed_gib=0.3)
MIB = 1024 * 1024


def photo() -> bytes:
    """A real JPEG, another one each time."""
    file = io.BytesIO()
    Image.frombytes("RGB", (320, 240), os.urandom(320 * 240 * 3)).save(file, "JPEG")
    return file.getvalue()


def announced(content: bytes, **changes: Any) -> dict[str, Any]:
    """What an upload is announced as."""
    about = {"name": "Kjøkken.jpg", "content_type": "image/jpeg", "size": len(content)}
    return about | {"sha256": hashlib.sha256(content).hexdigest()} | changes


@dataclass
class Portal:
    """The calls, as companies make them."""

    client: httpx.AsyncClient
    address: str
    files: MediaStore
    engine: AsyncEngine
    keys: MediaKeys

    async def call(self, method: str, path: str, company: str | None = VEST, **more: Any) -> httpx.Response:
        """Make a call as a company; its token is `token of <company>`."""
        headers = {"authorization": f"Bearer token of {company}"} if company else {}
        headers |= more.pop("headers", {})
        return await self.client.request(method, f"{self.address}{path}", headers=headers, **more)

    async def start(self, content: bytes, company: str = VEST, **changes: Any) -> dict[str, Any]:
        """Announce a file."""
        answer = await self.call("POST", "/api/uploads", company, json=announced(content, **changes))
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def send(self, upload: dict[str, Any], content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        """Send a file's bytes to where the upload says, and nothing else."""
        return await self.client.put(upload["upload_url"], content=content)

    async def complete(self, upload: dict[str, Any], company: str = VEST) -> httpx.Response:
        """Have it verified."""
        return await self.call("POST", f"/api/uploads/{upload['upload_id']}/complete", company)

    async def upload(self, content: bytes, company: str = VEST, **changes: Any) -> str:
        """Go the whole way; return the key."""
        upload = await self.start(content, company, **changes)
        assert (await self.send(upload, content)).is_success
        answer = await self.complete(upload, company)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])


@pytest.fixture
async def engine(databases: Databases) -> AsyncIterator[AsyncEngine]:
    """An empty database."""
    async with engine_of(await databases.empty("services.portal")) as engine:
        yield engine


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real S3 API."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture
def folder_store(tmp_path: Path) -> MediaStore:
    return MediaStore.at((tmp_path / "media").as_uri())


@pytest.fixture
def s3_store(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return MediaStore.at(f"{BUCKET}/{uuid4()}")


@pytest.fixture(params=["folder", "s3"])
async def portal(request: pytest.FixtureRequest, engine: AsyncEngine) -> AsyncIterator[Portal]:
    """The calls on each kind of store."""
    async for portal in serving(request.getfixturevalue(f"{request.param}_store"), engine):
        yield portal


@pytest.fixture
async def on_folder(folder_store: MediaStore, engine: AsyncEngine) -> AsyncIterator[Portal]:
    """The calls on a folder."""
    async for portal in serving(folder_store, engine):
        yield portal


async def serving(
    files: MediaStore, engine: AsyncEngine, company_of: CompanyOfToken | None = None
) -> AsyncIterator[Portal]:
    """Serve the calls on a port of this machine."""
    tokens = {hashlib.sha256(f"token of {c}".encode()).hexdigest(): c for c in (VEST, NORD, FJORD)}

    async def known(token_sha256: str) -> str | None:
        return tokens.get(token_sha256)

    settings = WebSettings(port=free_port())
    tables = MediaTables(engine)
    app = api(Uploads(tables, files, ["a secret"], SETTINGS), tables, files, company_of or known, settings.address)
    server = WebServer(app, settings)
    await server.start()
    async with httpx.AsyncClient(timeout=60) as client:
        yield Portal(client, settings.address, files, engine, MediaKeys(["a secret"]))
    await server.stop()


async def stores(portal: Portal, key: str) -> bool:
    """Whether the store has something."""
    try:
        await portal.files.head(key)
    except MediaGone:
        return False
    return True


def refused(answer: httpx.Response, status: int, code: UploadCode, *fields: str) -> None:
    """Check a refusal: its status, its code, its sentences, and what it is about."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == code
    assert body["message"] == {"nb": code.message.nb, "en": code.message.en}
    assert tuple(detail["field"] for detail in body.get("details", ())) == fields


async def test_a_key_says_what_was_uploaded_and_verified(portal: Portal) -> None:
    content = photo()
    before = datetime.now(UTC)
    key = await portal.upload(content)
    uploaded = portal.keys.verify(key)
    assert uploaded is not None
    assert (uploaded.company, uploaded.name, uploaded.content_type) == (VEST, "Kjøkken.jpg", MediaType.JPEG)
    assert (uploaded.size, uploaded.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert timedelta(days=7) - timedelta(seconds=1) <= uploaded.name_by - before <= timedelta(days=7, minutes=1)
    assert (await portal.files.digest(stored(uploaded.upload_id))).sha256 == uploaded.sha256
    assert not await stores(portal, incoming(uploaded.upload_id))


async def test_completing_again_gives_the_same_key(portal: Portal) -> None:
    content = photo()
    upload = await portal.start(content)
    await portal.send(upload, content)
    keys = {(await portal.complete(upload)).json()["key"] for _ in range(3)}
    together = await asyncio.gather(*(portal.complete(upload) for _ in range(3)))
    assert keys | {answer.json()["key"] for answer in together} == keys
    assert len(keys) == 1


async def test_completing_many_times_at_once_gives_all_the_same_key(portal: Portal) -> None:
    """A caller that is not answered in time asks again, while the first call still reads the file."""
    content = photo()
    upload = await portal.start(content)
    await portal.send(upload, content)
    answers = await asyncio.gather(*(portal.complete(upload) for _ in range(12)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}


async def test_a_broken_upload_is_sent_again(portal: Portal) -> None:
    content = photo()
    upload = await portal.start(content)

    async def breaks() -> AsyncIterator[bytes]:
        yield content[:10_000]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await portal.client.put(upload["upload_url"], content=breaks(), headers={"content-length": str(len(content))})
    refused(await portal.complete(upload), 422, UploadCode.UPLOAD_MISSING)
    assert (await portal.send(upload, content)).is_success
    assert (await portal.complete(upload)).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code", "fields"),
    [
        (lambda c: c[:-1], 422, UploadCode.UPLOAD_DIFFERS, ("size", "sha256")),
        (lambda c: c + b"x", 413, UploadCode.MEDIA_TOO_LARGE, ("size",)),
        (lambda c: c[:-1] + bytes([c[-1] ^ 1]), 422, UploadCode.UPLOAD_DIFFERS, ("sha256",)),
        (lambda c: b"%PDF-1.7\n" + c[9:], 422, UploadCode.UPLOAD_DIFFERS, ("content_type",)),
        (lambda c: b"<!doctype html>" + c[15:], 415, UploadCode.MEDIA_TYPE_NOT_TAKEN, ("content_type",)),
        (lambda _: b"", 422, UploadCode.UPLOAD_DIFFERS, ("size", "sha256")),
    ],
    ids=["shorter", "longer", "other-bytes", "other-type", "no-type", "nothing"],
)
async def test_what_differs_from_what_was_announced_is_refused_and_can_be_sent_right(
    portal: Portal, change: Any, status: int, code: UploadCode, fields: tuple[str, ...]
) -> None:
    content = photo()
    upload = await portal.start(content)
    answer = await portal.send(upload, change(content))
    if portal.files.signs:  # S3 takes anything; what it is is seen when it is complete
        assert answer.is_success
        answer = await portal.complete(upload)
    if not change(content):
        assert answer.status_code in {415, 422}  # of nothing there is no type
    else:
        refused(answer, status, code, *fields)
    assert not await stores(portal, stored(UUID(upload["upload_id"])))
    await portal.send(upload, content)
    assert (await portal.complete(upload)).status_code == 200


async def test_what_is_too_large_or_of_another_type_is_refused_before_it_is_sent(portal: Portal) -> None:
    for changes, status, code, field in (
        ({"size": 100 * MIB + 1}, 413, UploadCode.MEDIA_TOO_LARGE, "size"),
        ({"content_type": "image/gif"}, 415, UploadCode.MEDIA_TYPE_NOT_TAKEN, "content_type"),
        ({"size": 0}, 422, UploadCode.INVALID_REQUEST, "size"),
        ({"sha256": "abc"}, 422, UploadCode.INVALID_REQUEST, "sha256"),
        ({"name": ""}, 422, UploadCode.INVALID_REQUEST, "name"),
        ({"name": "a\x00b"}, 422, UploadCode.INVALID_REQUEST, "name"),
    ):
        answer = await portal.call("POST", "/api/uploads", json=announced(b"x", **changes))
        refused(answer, status, code, field)
    half_an_emoji = b'{"name": "\\ud83d.jpg", "content_type": "image/jpeg", "size": 1}'
    for body in (b"", b"{", b"[]", b"x" * 20_000, "æ".encode("latin-1"), half_an_emoji):
        answer = await portal.call("POST", "/api/uploads", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_without_a_company_s_token_there_is_no_call(portal: Portal) -> None:
    upload = await portal.start(b"x")
    for authorization in (None, "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz"):
        headers = {"authorization": authorization} if authorization else {}
        for method, path in (
            ("POST", "/api/uploads"),
            ("POST", f"/api/uploads/{upload['upload_id']}/complete"),
            ("GET", f"/api/media/{uuid4()}"),
        ):
            answer = await portal.call(method, path, company=None, headers=headers)
            refused(answer, 401, UploadCode.NO_TOKEN)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_another_company_s_upload_does_not_exist(portal: Portal) -> None:
    content = photo()
    upload = await portal.start(content)
    await portal.send(upload, content)
    refused(await portal.complete(upload, NORD), 404, UploadCode.UNKNOWN_UPLOAD)
    for id in (str(uuid4()), "1", "%00"):
        answer = await portal.call("POST", f"/api/uploads/{id}/complete")
        refused(answer, 404, UploadCode.UNKNOWN_UPLOAD)


async def test_only_an_address_that_we_signed_takes_bytes(on_folder: Portal) -> None:
    content = photo()
    upload = await on_folder.start(content)
    id = upload["upload_id"]
    other = (await on_folder.start(content))["upload_url"].rpartition(".")[2]
    for path in (id, f"{id}.", f"{id}.{other}", f"{uuid4()}.{other}"):
        answer = await on_folder.call("PUT", f"/api/uploads/{path}", content=content)
        refused(answer, 404, UploadCode.UNKNOWN_UPLOAD)
    assert not await stores(on_folder, incoming(UUID(id)))


async def test_a_completed_upload_cannot_be_replaced(portal: Portal) -> None:
    content = photo()
    upload = await portal.start(content)
    await portal.send(upload, content)
    await portal.complete(upload)
    answer = await portal.send(upload, photo())
    if not portal.files.signs:
        refused(answer, 409, UploadCode.UPLOAD_COMPLETE)
    assert (await portal.complete(upload)).status_code == 200
    kept = await portal.files.digest(stored(UUID(upload["upload_id"])))
    assert kept.sha256 == hashlib.sha256(content).hexdigest()


async def test_an_address_is_good_for_an_hour(on_folder: Portal) -> None:
    content = photo()
    upload = await on_folder.start(content)
    await backdate(on_folder, upload, timedelta(hours=1, seconds=1))
    refused(await on_folder.send(upload, content), 410, UploadCode.UPLOAD_EXPIRED)


async def test_a_company_cannot_fill_the_store_with_what_no_report_names(portal: Portal) -> None:
    for _ in range(3):
        await portal.start(b"x", size=100 * MIB)
    answer = await portal.call("POST", "/api/uploads", json=announced(b"x", size=100 * MIB))
    refused(answer, 429, UploadCode.TOO_MUCH_UNNAMED)
    await portal.start(b"x", NORD, size=100 * MIB)


async def test_while_the_store_is_away_a_call_can_be_made_again_later(
    engine: AsyncEngine, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (s3 | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).items():
        monkeypatch.setenv(name, value)
    async for portal in serving(MediaStore.at(BUCKET), engine):
        upload = await portal.start(photo())
        answer = await portal.complete(upload)
        refused(answer, 503, UploadCode.TRY_AGAIN)
        assert answer.headers["retry-after"] == "5"


async def test_while_the_database_is_away_a_call_can_be_made_again_later(folder_store: MediaStore) -> None:
    nowhere = engine_for(DatabaseSettings(database_url=SecretStr(f"postgresql://a:b@127.0.0.1:{free_port()}/c")))
    async for portal in serving(folder_store, nowhere):
        answer = await portal.call("POST", "/api/uploads", json=announced(photo()))
        refused(answer, 503, UploadCode.TRY_AGAIN)
        refused(await portal.call("GET", f"/api/media/{uuid4()}"), 503, UploadCode.TRY_AGAIN)
    await nowhere.dispose()


async def test_a_call_that_fails_is_answered_and_logged_by_kind_and_place_alone(
    engine: AsyncEngine, folder_store: MediaStore, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fails(_: str) -> str | None:
        raise LookupError("Anne Berg, +47 91 23 45 67")

    async for portal in serving(folder_store, engine, fails):
        refused(await portal.call("POST", "/api/uploads", json=announced(photo())), 503, UploadCode.TRY_AGAIN)
        refused(await portal.call("GET", f"/api/media/{uuid4()}"), 503, UploadCode.TRY_AGAIN)
    logged = "".join(capfd.readouterr())
    assert logged.count("a call fails") == 2
    assert "LookupError at " in logged
    assert "Anne" not in logged


async def backdate(portal: Portal, upload: dict[str, Any], by: timedelta) -> None:
    """Have an upload been started earlier."""
    async with transaction(portal.engine) as connection:
        await connection.execute(
            update(uploads).where(uploads.c.id == UUID(upload["upload_id"])).values(started_at=datetime.now(UTC) - by)
        )


CLAIM, TARGET, TASK, COPIED_TASK, LINK = (UUID(int=n) for n in range(1, 6))


def reported(
    portal: Portal, key: str, version: int = 2, claim: UUID = CLAIM, *audience: str
) -> tuple[UUID, ClaimEvent]:
    """A report that names an upload; return the file's media id, and the event."""
    uploaded = portal.keys.verify(key)
    assert uploaded is not None
    media = ReportedMedia(
        media_id=uuid4(),
        name=uploaded.name,
        content_type=uploaded.content_type,
        size=uploaded.size,
        sha256=uploaded.sha256,
        upload_id=uploaded.upload_id,
    )
    report = Report(report_id=uuid4(), media=[media])
    event = TaskReported(
        **about(claim, version, audience=(FJORD, VEST, *audience)),
        task_id=TASK if claim == CLAIM else COPIED_TASK,
        report=report,
    )
    return media.media_id, event


async def save_events(portal: Portal, *events: ClaimEvent) -> None:
    """Save events twice, as happens after a crash."""
    for _ in range(2):
        async with transaction(portal.engine) as connection:
            await save_media(connection, events)


async def test_a_file_of_a_claim_is_given_to_those_who_may_see_the_claim_and_to_nobody_else(portal: Portal) -> None:
    content = photo()
    id, event = reported(portal, await portal.upload(content))
    refused(await portal.call("GET", f"/api/media/{id}"), 404, UploadCode.UNKNOWN_MEDIA)
    await save_events(portal, event)
    for company in (VEST, FJORD):
        answer = await portal.call("GET", f"/api/media/{id}", company)
        assert answer.status_code == (302 if portal.files.signs else 200)
        if portal.files.signs:
            answer = await portal.client.get(answer.headers["location"])
        assert answer.content == content
        assert answer.headers["content-type"] == "image/jpeg"
        saved_as = "attachment; filename=\"Kjokken.jpg\"; filename*=UTF-8''Kj%C3%B8kken.jpg"
        assert answer.headers["content-disposition"] == saved_as
    refused(await portal.call("GET", f"/api/media/{id}", NORD), 404, UploadCode.UNKNOWN_MEDIA)
    for other in (uuid4(), "x"):
        refused(await portal.call("GET", f"/api/media/{other}"), 404, UploadCode.UNKNOWN_MEDIA)
    await save_events(portal, reported(portal, await portal.upload(photo()), 3, CLAIM, NORD)[1])
    assert (await portal.call("GET", f"/api/media/{id}", NORD)).status_code in {200, 302}


@pytest.mark.parametrize(
    ("declared", "type", "content"),
    [
        ("image/jpg", MediaType.JPEG, photo()),
        ("IMAGE/JPEG; charset=binary", MediaType.JPEG, photo()),
        ("application/x-pdf", MediaType.PDF, b"\xef\xbb\xbf\r\n%PDF-2.0\n"),
        ("image/heif", MediaType.HEIC, b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00miafheic"),
        ("video/x-m4v", MediaType.MP4, b"\x00\x00\x00\x18ftypM4V \x00\x00\x00\x00M4V mp42"),
    ],
    ids=["jpg", "JPEG with a parameter", "x-pdf", "heif", "x-m4v"],
)
async def test_a_type_is_understood_as_systems_write_it_and_served_as_it_is_called(
    on_folder: Portal, declared: str, type: MediaType, content: bytes
) -> None:
    key = await on_folder.upload(content, content_type=declared, name="Kjøkken")
    uploaded = on_folder.keys.verify(key)
    assert uploaded is not None
    assert uploaded.content_type is type
    id, event = reported(on_folder, key)
    await save_events(on_folder, event)
    assert (await on_folder.call("GET", f"/api/media/{id}")).headers["content-type"] == type


@pytest.mark.parametrize(
    "name",
    [
        "Ba\u030aten.jpg",
        f"{'a' * 194}🏠🏠.jpg",
        "\u202egpj.exe",
        "../../etc/passwd",
        'a"; filename="b.exe',
        "a\r\nset-cookie: x=y\r\n.jpg",
        "CON",
        ".jpg",
        "faktura.html",
    ],
)
async def test_a_file_of_any_name_is_uploaded_and_saved_by_a_name_that_does_no_harm(portal: Portal, name: str) -> None:
    id, event = reported(portal, await portal.upload(photo(), name=name))
    await save_events(portal, event)
    answer = await portal.call("GET", f"/api/media/{id}")
    if portal.files.signs:
        answer = await portal.client.get(answer.headers["location"])
    assert answer.headers["content-disposition"] == disposition(name, MediaType.JPEG)
    assert "set-cookie" not in answer.headers


async def test_a_part_of_a_file_can_be_fetched_and_a_browser_runs_nothing_in_it(on_folder: Portal) -> None:
    content = photo()
    id, event = reported(on_folder, await on_folder.upload(content))
    await save_events(on_folder, event)
    part = await on_folder.call("GET", f"/api/media/{id}", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert part.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in part.headers["content-security-policy"]
    beyond = await on_folder.call("GET", f"/api/media/{id}", headers={"range": "bytes=9999999-"})
    assert beyond.status_code == 416
    head = await on_folder.call("HEAD", f"/api/media/{id}")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(content)), b"")


def imported(media: ReportedMedia, copy: UUID) -> ContentImported:
    """The event of a link that copied a file."""
    file = ImportedMedia(**{**dict(media), "media_id": copy, "upload_id": None}, source_media_id=media.media_id)
    report = ImportedReport(
        report_id=uuid4(), source_report_id=uuid4(), media=[file], at=datetime.now(UTC), actor=Actor(company=VEST)
    )
    copied = ImportedTask(**dict(task(id=COPIED_TASK)), source_task_id=TASK, reports=[report])
    return ContentImported(**about(TARGET, 2), link_id=LINK, part=1, source_claim_id=CLAIM, tasks=[copied])


async def is_there(portal: Portal, id: UUID) -> bool:
    """Whether the insurer, which may see every claim here, is given a file."""
    answer = await portal.call("GET", f"/api/media/{id}", FJORD)
    assert answer.status_code in {200, 302, 404}
    return answer.status_code != 404


def content_withdrawn(audience: Sequence[str] = (FJORD,), *, afterwards: Sequence[str] = (FJORD,)) -> ContentWithdrawn:
    """The target gives the copied task up, after which only some may see it still."""
    return ContentWithdrawn(
        **about(TARGET, 4, audience=(FJORD, *audience)),
        seen_from_now_on_by=list(afterwards),
        link_id=LINK,
        source_claim_id=CLAIM,
        task_ids=[COPIED_TASK],
    )


async def test_who_saw_the_target_only_through_the_link_sees_its_files_no_more(on_folder: Portal) -> None:
    id, event = reported(on_folder, await on_folder.upload(photo()), 3, TARGET, VEST)
    await save_events(on_folder, event.model_copy(update={"task_id": uuid4()}))  # on a task that is the target's own
    assert (await on_folder.call("GET", f"/api/media/{id}", VEST)).status_code == 200
    await save_events(on_folder, content_withdrawn([FJORD, VEST]))
    refused(await on_folder.call("GET", f"/api/media/{id}", VEST), 404, UploadCode.UNKNOWN_MEDIA)
    assert await is_there(on_folder, id)


async def test_a_link_s_copy_is_the_target_s_until_the_link_is_taken_back(portal: Portal) -> None:
    id, event = reported(portal, await portal.upload(photo()))
    assert isinstance(event, TaskReported)
    (media,) = event.report.media
    copy = uuid4()
    await portal.files.copy(stored(media.stored_as), stored(copy), media.sha256)
    import_ = imported(media, copy)
    await save_events(portal, event, import_)
    assert await is_there(portal, copy)
    withdrawn = content_withdrawn()
    await save_events(portal, withdrawn)
    assert not await is_there(portal, copy)
    assert await is_there(portal, id)
    await save_events(portal, import_)  # the same event once more, as after a crash
    assert not await is_there(portal, copy)


@pytest.mark.parametrize("target_first", [True, False])
async def test_a_file_reported_at_the_target_comes_along_when_the_link_is_taken_back(
    on_folder: Portal, target_first: bool
) -> None:
    id, event = reported(on_folder, await on_folder.upload(photo()), 3, TARGET)
    assert isinstance(event, TaskReported)
    (media,) = event.report.media
    moved = ImportedReport(
        report_id=event.report.report_id,
        source_report_id=event.report.report_id,
        media=[ImportedMedia(**dict(media), source_media_id=id)],
        at=datetime.now(UTC),
        actor=Actor(company=VEST),
    )
    back = imported(media, id).tasks[0].model_copy(update={"task_id": TASK, "reports": [moved]})
    withdrawn = content_withdrawn()
    unlinked = ClaimUnlinked(**about(CLAIM, 3), link_id=LINK, target_claim_id=TARGET, tasks=[back])
    at_target: list[ClaimEvent] = [event, withdrawn]
    for events in (at_target, [unlinked]) if target_first else ([unlinked], at_target):
        await save_events(on_folder, *events)
    assert await is_there(on_folder, id)


async def test_who_may_see_a_file_is_as_the_claim_s_newest_event_says(on_folder: Portal) -> None:
    id, event = reported(on_folder, await on_folder.upload(photo()))
    _, later = reported(on_folder, await on_folder.upload(photo()), 3, CLAIM, NORD)
    await save_events(on_folder, event, later)
    await save_events(on_folder, event)  # once more, as after a crash
    assert (await on_folder.call("GET", f"/api/media/{id}", NORD)).status_code == 200


async def test_an_upload_that_no_report_named_is_removed_and_a_named_one_stays(portal: Portal) -> None:
    named, unnamed = [portal.keys.verify(await portal.upload(photo())) for _ in range(2)]
    assert named is not None
    assert unnamed is not None
    _, event = reported(portal, portal.keys.sign(named))
    await save_events(portal, event)
    sweeper = Sweeper(MediaTables(portal.engine), portal.files, SETTINGS, Store(portal.engine), timedelta(hours=12))
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(days=37)) == 0
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(days=38)) == 1
    assert await stores(portal, stored(named.upload_id))
    assert not await stores(portal, stored(unnamed.upload_id))
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(days=3650)) == 0


async def test_what_was_sent_and_never_completed_is_removed_after_a_day(portal: Portal) -> None:
    content = photo()
    upload = await portal.start(content)
    await portal.send(upload, content)
    sweeper = Sweeper(MediaTables(portal.engine), portal.files, SETTINGS, Store(portal.engine), timedelta(hours=12))
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(hours=23)) == 0
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(hours=25)) == 1
    refused(await portal.complete(upload), 422, UploadCode.UPLOAD_MISSING)


async def test_what_a_killed_process_left_of_a_transfer_is_removed(on_folder: Portal) -> None:
    path = on_folder.files.path(incoming(uuid4()))
    assert path is not None
    path.parent.mkdir(exist_ok=True)
    remains = path.with_name(f"{path.name}#1")
    remains.write_bytes(b"half")
    sweeper = Sweeper(
        MediaTables(on_folder.engine), on_folder.files, SETTINGS, Store(on_folder.engine), timedelta(hours=12)
    )
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(hours=23)) == 0
    assert await sweeper.sweep(datetime.now(UTC) + timedelta(hours=25)) == 1
    assert not remains.exists()


async def test_two_instances_that_take_in_the_same_events_come_to_the_same(on_folder: Portal) -> None:
    events = [reported(on_folder, await on_folder.upload(photo()), n, uuid4())[1] for n in range(1, 6)]

    async def instance() -> None:
        async with transaction(on_folder.engine) as connection:
            await save_media(connection, events)

    await asyncio.gather(*(instance() for _ in range(4)))
    for event in events:
        assert isinstance(event, TaskReported)
        answer = await on_folder.call("GET", f"/api/media/{event.report.media[0].media_id}")
        assert answer.status_code == 200
