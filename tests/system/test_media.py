"""Photos, videos and documents on the whole system: uploaded, named in a report, fetched by who may see the claim."""

import contextlib
import hashlib
import io
import os
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pillow_heif
import pytest
from PIL import Image

from operations.bus import Delivered
from operations.connection import Connection
from operations.stack import Stack
from tests.world import World, report, wait_until

MIB = 1024 * 1024

pillow_heif.register_heif_opener()


def picture(format: str = "JPEG") -> bytes:
    """A file of an encoder, another one each time."""
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 48), os.urandom(64 * 48 * 3)).save(file, format)
    return file.getvalue()


class Caller:
    """A company's system, which calls the portal with its token."""

    def __init__(self, connection: Connection, company: str) -> None:
        assert connection.portal is not None
        headers = {"authorization": f"Bearer {connection.companies[company].token}"}
        self._client = httpx.Client(base_url=connection.portal, headers=headers, timeout=120)

    def upload(self, content: bytes, name: str = "Kjøkken.jpg", content_type: str = "image/jpeg") -> dict[str, Any]:
        """Upload a file as the partner guide says; return what a report says of it."""
        about = {"name": name, "content_type": content_type, "size": len(content)}
        about["sha256"] = hashlib.sha256(content).hexdigest()
        started = self._client.post("/api/uploads", json=about)
        assert started.status_code == 201, started.text
        sent = httpx.put(started.json()["upload_url"], content=content, timeout=120)
        assert sent.is_success, sent.text
        completed = self._client.post(f"/api/uploads/{started.json()['upload_id']}/complete")
        assert completed.status_code == 200, completed.text
        return {**about, **completed.json()}

    def fetch(self, media_id: str) -> httpx.Response:
        """Fetch a file of a claim."""
        return self._client.get(f"/api/media/{media_id}")

    def wait_for(self, media_id: str) -> None:
        """Wait until the portal has heard of the file."""
        wait_until(lambda: self.fetch(media_id).status_code == 200, what="the portal to hear of the file")


@pytest.fixture
def partner(world: World) -> Caller:
    """The partner's system."""
    return Caller(world.connection, world.partner_id)


@pytest.fixture
def claim(world: World) -> Delivered:
    """A temporary claim with a first-aid task of the partner."""
    return world.create(tasks=[{"kind": "first_aid"}])


@pytest.mark.promise(
    "A file is seen by those who may see its claim, and by nobody else; 100 MiB go through some megabytes.",
    about="links",
)
def test_a_report_s_files_are_fetched_by_those_who_may_see_the_claim_and_by_nobody_else(
    world: World, partner: Caller, claim: Delivered
) -> None:
    files = [picture("JPEG"), picture("PNG"), picture("HEIF")]
    named = [partner.upload(c, f"{t}.x", f"image/{t}") for c, t in zip(files, ("jpeg", "png", "heic"), strict=True)]
    (outcome,) = world.partner.ask(report(claim, media=named))
    assert outcome.accepted, outcome.body
    event = world.event(world.insurer, "task-reported", claim.body["claim_id"])
    media = event.body["report"]["media"]
    assert [m["sha256"] for m in media] == [m["sha256"] for m in named]

    insurer = Caller(world.connection, world.insurer_id)
    for content, reported in zip(files, media, strict=True):
        id = reported["media_id"]
        insurer.wait_for(id)
        for who in (insurer, partner):
            answer = who.fetch(id)
            assert answer.content == content
            assert answer.headers["content-type"] == reported["content_type"]
        assert Caller(world.connection, world.other_id).fetch(id).status_code == 404


@pytest.mark.promise("What is stored on a machine, its owner alone can read.", about="running")
def test_no_other_user_of_the_machine_can_read_what_is_stored(
    world: World, partner: Caller, claim: Delivered, connection: Connection
) -> None:
    (outcome,) = world.partner.ask(report(claim, media=[partner.upload(picture())]))
    assert outcome.accepted, outcome.body
    stored = Path(urlsplit(connection.media or "").path)
    folders = [stored, *(stored.with_name(name) for name in ("kafka", "logs", "postgres"))]
    files = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert any(path.is_file() and path.is_relative_to(stored) for path in files)
    modes = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # other tests go on meanwhile
            modes[path] = path.lstat().st_mode & 0o777
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_a_file_that_was_not_uploaded_by_the_company_as_it_says_is_refused_with_its_code(
    world: World, partner: Caller, claim: Delivered
) -> None:
    mine = partner.upload(picture())
    key = mine["key"]
    forged = f"{key[:-5]}{'A' if key[-5] != 'A' else 'B'}{key[-4:]}"
    other = Caller(world.connection, world.other_id).upload(picture())
    refused = [
        (mine | {"key": forged}, "media_missing"),
        (mine | {"key": "no key"}, "media_missing"),
        (other, "media_not_allowed"),
        (mine | {"size": mine["size"] + 1}, "media_mismatch"),
        (mine | {"sha256": "0" * 64}, "media_mismatch"),
        (mine | {"content_type": "image/png"}, "media_mismatch"),
    ]
    outcomes = world.partner.ask(*(report(claim, media=[media]) for media, _ in refused))
    assert [outcome.body.get("code") for outcome in outcomes] == [code for _, code in refused]
    (outcome,) = world.partner.ask(report(claim, media=[mine]))
    assert outcome.accepted


def test_a_new_company_s_token_works_at_once_and_a_wrong_one_never(world: World) -> None:
    company = Caller(world.connection, world.partner_id)
    assert company.fetch(str(uuid.uuid4())).status_code == 404
    assert httpx.get(f"{world.connection.portal}/api/media/{uuid.uuid4()}").status_code == 401


@pytest.mark.promise(
    "A file is seen by those who may see its claim, and by nobody else; 100 MiB go through some megabytes.",
    about="links",
)
def test_a_video_of_a_hundred_mebibytes_goes_through_a_few(
    stack: Stack, world: World, partner: Caller, claim: Delivered
) -> None:
    ftyp = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42"
    video = ftyp + os.urandom(100 * MIB - len(ftyp))
    (portal,) = stack.of("portal")
    before = resident(portal.pid)
    Path(f"/proc/{portal.pid}/clear_refs").write_text("5")  # the peak is counted anew
    named = partner.upload(video, "video.mp4", "video/mp4")
    (outcome,) = world.partner.ask(report(claim, media=[named]))
    assert outcome.accepted
    id = world.event(world.partner, "task-reported", claim.body["claim_id"]).body["report"]["media"][0]["media_id"]
    partner.wait_for(id)
    assert hashlib.sha256(partner.fetch(id).content).hexdigest() == named["sha256"]
    grown = (resident(portal.pid, "VmHWM") - before) / MIB
    print(f"the portal's peak grew by {grown:.0f} MiB from {before / MIB:.0f} MiB")
    assert grown < 40


def resident(pid: int | None, what: str = "VmRSS") -> int:
    """A process's resident memory in bytes, now or at its peak."""
    kib = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert kib is not None
    return int(kib[1]) * 1024
