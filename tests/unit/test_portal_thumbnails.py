"""Small pictures of what strangers upload: one that is made to keep us busy delays nobody."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from services.portal.media_store import File
from services.portal.picture_maker import Unreadable
from services.portal.thumbnails import Thumbnails
from services.portal.turns import Turns
from shared.media.keys import stored
from shared.storage.media_store import MediaStore

pytestmark = pytest.mark.promise(
    "A picture that takes too long or too much memory harms nobody's small pictures.", about="portal"
)

SCANS = 1500


def jpeg() -> bytes:
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(picture, "JPEG")
    return picture.getvalue()


def with_scans(count: int, edge: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each goes through the whole picture."""
    picture = io.BytesIO()
    Image.new("L", (edge, edge)).save(picture, "JPEG", progressive=True)
    file = picture.getvalue()
    scan = file.rindex(b"\xff\xda")
    return file[:scan] + file[scan:-2] * count + file[-2:]


def environment_of(pid: int) -> bytes:
    """What a process was started with, where the machine tells."""
    file = Path(f"/proc/{pid}/environ")
    return file.read_bytes() if file.exists() else b""


@dataclass
class Album:
    """Pictures in a store, and what makes them small."""

    files: MediaStore
    thumbnails: Thumbnails

    async def add(self, picture: bytes) -> File:
        id = uuid4()
        path = self.files.path(stored(id))
        assert path is not None
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
        return File(id, "a.jpg", "image/jpeg")

    async def shows(self, picture: bytes, company: str = "vest") -> bool:
        """Whether there is a small picture of it."""
        try:
            small = await self.thumbnails.of(await self.add(picture), company)
        except Unreadable:
            return False
        return Image.open(io.BytesIO(small)).format == "JPEG"


@pytest.fixture
async def album(tmp_path: Path) -> AsyncIterator[Album]:
    files = MediaStore.at(tmp_path.as_uri())
    album = Album(files, Thumbnails(files, cpu_s=1))
    yield album
    await album.thumbnails.stop()


async def test_a_picture_of_very_many_scans_is_given_up_and_the_next_is_made(album: Album) -> None:
    bomb = with_scans(SCANS, 6000)
    assert len(bomb) < 10_000_000
    assert not await album.shows(bomb)
    assert await album.shows(jpeg())


async def test_a_picture_that_takes_too_much_memory_is_given_up_and_the_next_is_made(album: Album) -> None:
    picture = io.BytesIO()
    Image.new("RGBA", (7071, 7071)).save(picture, "PNG", compress_level=1)
    thumbnails = Thumbnails(album.files)
    try:
        with pytest.raises(Unreadable):
            await thumbnails.of(await album.add(picture.getvalue()), "vest")
        assert await thumbnails.of(await album.add(jpeg()), "vest")
    finally:
        await thumbnails.stop()


async def test_what_cannot_be_made_small_is_not_tried_again(album: Album) -> None:
    file = await album.add(b"no picture")
    for _ in range(2):
        with pytest.raises(Unreadable):
            await album.thumbnails.of(file, "vest")
        await album.files.delete(stored(file.stored_as))


async def test_a_picture_is_made_after_the_process_was_ended_and_by_one_that_knows_no_passwords(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAIMBUS_PASSWORD", "secret")
    assert await album.shows(jpeg())
    process = album.thumbnails._maker._process
    assert process is not None
    assert b"CLAIMBUS" not in environment_of(process.pid)
    process.kill()
    await process.wait()
    assert await album.shows(jpeg())


async def test_one_company_s_many_are_not_before_another_s_one() -> None:
    turns, order, begun = Turns(), [], asyncio.Event()
    goes_on = asyncio.Event()

    async def take(company: str) -> None:
        async with turns.of(company):
            order.append(company)
            begun.set()
            await goes_on.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take("vest"))
        await begun.wait()
        waiting = [tasks.create_task(take(company)) for company in ("vest", "vest", "vest", "gone", "nord", "nord")]
        await asyncio.sleep(0)
        waiting[3].cancel()
        await asyncio.sleep(0)
        goes_on.set()
    assert order == ["vest", "vest", "nord", "vest", "nord", "vest"]
    async with turns.of("nord"):
        pass


async def test_a_turn_that_was_given_to_who_has_just_left_is_the_next_one_s() -> None:
    turns = Turns()
    async with asyncio.timeout(10):
        async with turns.of("vest"):
            leaving, staying = (asyncio.create_task(_take(turns, company)) for company in ("vest", "nord"))
            await asyncio.sleep(0)
        leaving.cancel()
        await staying


async def _take(turns: Turns, company: str) -> None:
    async with turns.of(company):
        pass
