"""The portal in this process, on a real PostgreSQL: asked with raw bytes, as a server hands them on."""

import gzip
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit
from uuid import uuid4

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from services.portal.api import api
from services.portal.directory_follower import DirectoryFollower
from services.portal.live import Live
from services.portal.media_store import MediaTables, save_media
from services.portal.pages.routes import routes
from services.portal.read_model import CausedEvent, save
from services.portal.request_sender import RequestSender
from services.portal.serving import side_by_side
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads, UploadSettings
from services.portal.visit import Portal
from services.portal.web import web_app
from shared.contract.events import (
    ClaimContent,
    Report,
    ReportedMedia,
    TaskReported,
)
from shared.contract.fields import TaskKind
from shared.contract.reports import PeriodReport, ReportReady
from shared.contract.uploads import NewUpload
from shared.media.keys import stored
from shared.media.types import MediaType
from shared.messaging.publisher import Publisher
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.media_store import MediaStore
from tests.builders.content import incident, policyholder
from tests.builders.directory import permitted, takes_effect
from tests.builders.events import about, created, registered, task
from tests.builders.requests import FJORD, VEST, VEST_BERGEN
from tests.integration.conftest import engine_of

AT = datetime(2026, 11, 24, 16, tzinfo=UTC)
PERIOD = "2026-W47"
TOKEN = "token of vest"
INSURER_S, HANDLER, PARTNER_S, WITHOUT_OFFICE = "kari-holm", "per-lie", "ola-vik", "eva-dal"
USERS = (INSURER_S, HANDLER, PARTNER_S, WITHOUT_OFFICE)
"""An insurer's user of level 6 and one of level 1, and a partner's with an office and without."""


@dataclass
class Answer:
    """What a request was answered with."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()


@dataclass(frozen=True)
class Form:
    """A form of a page, with what its fields begin with."""

    method: str
    path: str
    fields: tuple[tuple[str, str], ...]


@dataclass
class Site:
    """The portal's addresses, with something of every kind behind them."""

    app: ASGIApp
    portal: Portal
    routes: Sequence[Route]
    known: dict[str, list[str]]
    """What the parts of addresses can be, by their names."""
    cookies: dict[str | None, str] = field(default_factory=lambda: {None: ""})
    tokens: dict[str | None, str] = field(default_factory=dict)

    async def ask(
        self,
        method: str,
        path: bytes,
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> Answer:
        """Ask as a server does: the path is decoded, all else is bytes as they came."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        coming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        answered: list[Message] = []

        async def receive() -> Message:
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            answered.append(message)

        await self.app(scope, receive, send)
        start = answered[0]
        response_headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        content = b"".join(message.get("body", b"") for message in answered[1:])
        return Answer(
            start["status"],
            dict(response_headers),
            [value for name, value in response_headers if name == "set-cookie"],
            content,
        )

    async def page(self, user: str | None, address: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
        """Open an address as a user."""
        parts = urlsplit(address)
        cookie = (b"cookie", self.cookies[user].encode())
        return await self.ask("GET", parts.path.encode(), parts.query.encode(), [HOST, cookie, *headers])

    async def send(self, user: str | None, path: str, fields: Iterable[tuple[str, str]], **more: Any) -> Answer:
        """Send a form as a user."""
        return await self.ask(**posted(self, user, path.encode(), urlencode(list(fields)).encode(), **more))

    async def log_in(self, user: str) -> None:
        """Log in as the log-in page does."""
        page = await self.ask("GET", b"/logg-inn", headers=[HOST])
        self.cookies[user] = page.cookies[0].partition(";")[0]
        self.tokens[user] = token_of(page.text)
        answer = await self.send(user, "/logg-inn", [("csrf", self.tokens[user]), ("user", user)])
        assert answer.status == 303, answer.text
        self.cookies[user] = answer.cookies[0].partition(";")[0]
        self.tokens[user] = token_of((await self.page(user, "/saker")).text)


HOST = (b"host", b"127.0.0.1:8000")


def posted(
    site: Site,
    user: str | None,
    path: bytes,
    body: bytes,
    content_type: bytes = b"application/x-www-form-urlencoded",
    length: bytes | None = None,
) -> dict[str, Any]:
    """The request of a form that is sent."""
    headers = [
        HOST,
        (b"cookie", site.cookies[user].encode()),
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode() if length is None else length),
    ]
    return {"method": "POST", "path": path, "headers": headers, "body": body}


def token_of(page: str) -> str:
    """Find the session's token in a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


class PageParts(HTMLParser):
    """The forms of a page, the attributes of their fields, and the addresses that it links to."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.inputs: list[dict[str, str]] = []
        self._address = address
        self._form: tuple[str, str] | None = None
        self._fields: list[tuple[str, str]] = []
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            path = urlsplit(attributes.get("action") or self._address).path
            self._form, self._fields = (attributes.get("method", "get").upper(), path), []
        elif tag in ("input", "textarea", "button") and "name" in attributes:
            self._fields.append((attributes["name"], attributes.get("value", "")))
            self.inputs.append({"type": "text", **attributes} if tag == "input" else attributes)
        elif tag == "select":
            self._select = attributes.get("name")
        elif tag == "option" and self._select and attributes.get("value"):
            self._fields.append((self._select, attributes["value"]))
            self._select = None  # one choice is enough
        elif tag == "a" and attributes.get("href", "").startswith("/"):
            self.links.append(attributes["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._form is not None:
            self.forms.append(Form(*self._form, tuple(self._fields)))
            self._form = None


def read_page(address: str, text: str) -> PageParts:
    """Take a page apart."""
    parts = PageParts(address)
    parts.feed(text)
    return parts


@asynccontextmanager
async def site_on(database_url: str, folder: Path, *, live_for_all: bool = False) -> AsyncIterator[Site]:
    """Build the portal on a migrated, empty database, and log everybody in. There is no Kafka behind it.

    Unless it is live, streams of what is new end at once.
    """
    web = WebSettings.model_validate(
        {"secret": SecretStr("test"), "log_in_from_directory": True, "log_ins_per_minute": 1_000_000}
    )
    service = ServiceSettings(bootstrap_servers="127.0.0.1:1")
    async with engine_of(database_url) as engine:
        follower, store = DirectoryFollower(lambda: service), Store(engine)
        live = Live(DatabaseSettings(database_url=SecretStr(database_url)))
        live.closing = not live_for_all
        follower.directory = _directory()
        follower.was_read = follower.reachable = True
        files, tables = MediaStore.at((folder / "media").as_uri()), MediaTables(engine)
        uploads = Uploads(tables, files, ["test"], UploadSettings())
        sender = RequestSender(Publisher(service), store, live, follower, web.outcome_wait_s)
        portal = Portal(web, store, live, follower, sender, uploads, tables, files, Thumbnails(files))

        async def company_of(token_sha256: str) -> str | None:
            company = follower.directory.company_with_token(token_sha256)
            return company.id if company else None

        calls = api(uploads, tables, files, company_of, web.address)
        pages = routes(portal)
        known = await _filled(portal)
        assert isinstance(calls, Starlette)
        all_routes = [route for route in (*pages, *calls.routes) if isinstance(route, Route)]
        site = Site(side_by_side({"/api/": calls}, web_app(portal, pages)), portal, all_routes, known)
        for user in USERS:
            await site.log_in(user)
        try:
            yield site
        finally:
            await portal.thumbnails.stop()


def _directory() -> Any:
    directory = permitted("always", may_assign_to_others=True, may_define_claim_number=True)
    for id, company, level, office in (
        (HANDLER, FJORD, 1, None),
        (PARTNER_S, VEST, 2, VEST_BERGEN),
        (WITHOUT_OFFICE, VEST, 2, None),
    ):
        user = {"id": id, "company": company, "name": id, "authorisation_level": level}
        takes_effect(directory, "operator", "register-user", user | ({"office": office} if office else {}))
    token = {"id": VEST, "name": "Vest", "kind": "partner", "token_sha256": sha256(TOKEN.encode()).hexdigest()}
    takes_effect(directory, "operator", "register-company", token)
    takes_effect(directory, FJORD, "set-portal-settings", {"inspection_needs_budget": True})
    return directory


async def _filled(portal: Portal) -> dict[str, list[str]]:
    """Put a temporary claim with tasks and a file, a normal one, a report and an upload behind the addresses."""
    temporary, normal, file = uuid4(), uuid4(), uuid4()
    tasks = [
        task(),
        task(kind=TaskKind.INSPECTION, needs_budget=True),
    ]
    photo = ReportedMedia(
        media_id=file, upload_id=file, name="a.jpg", content_type=MediaType.JPEG, size=3, sha256="0" * 64
    )
    report = Report(report_id=uuid4(), text="Tørket.", media=[photo], finished=False)
    written = ClaimContent(
        incident=incident(description="Det lekker."), policyholder=policyholder(email="øyvind@bærum.no")
    )
    creation = created(temporary, tasks=tasks, written=written)
    registration = registered(normal, handler=INSURER_S, written=written)
    reported = TaskReported(**about(temporary, 2), task_id=tasks[0].task_id, report=report)
    period = PeriodReport(insurer=FJORD, period=PERIOD, from_=AT, to=AT, preliminary=False, closed_at=AT)
    ready = ReportReady(insurer=FJORD, period=PERIOD, time_zone="Europe/Oslo", read_up_to={}, report=period)
    caused_events = [CausedEvent(event, f"portal:{n}") for n, event in enumerate((creation, registration, reported))]
    async with portal.store.transaction() as connection:
        await save_media(connection, await save(connection, [*caused_events, ready]))
    path = portal.files.path(stored(file))
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"abc")
    upload, sent_to = await portal.uploads.start(
        VEST, NewUpload(name="a.jpg", content_type=MediaType.JPEG, size=3, sha256=sha256(b"abc").hexdigest())
    )
    return {
        "claim": [str(temporary), str(normal)],
        "target": [str(normal), str(temporary)],
        "task": [str(task.task_id) for task in tasks],
        "media": [str(file)],
        "id": [str(upload), str(file)],
        "signed": [sent_to.rpartition("/")[2]],
        "office": [VEST_BERGEN],
        "period": [PERIOD],
        "request_id": ["portal:0"],
    }
