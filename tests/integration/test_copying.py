"""What linking copies, on a folder and on a real S3 API: whole, verified, resumed, and given up with a reason."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from services.linking.copying import Copying
from services.linking.settings import LinkingSettings
from shared.contract import ids
from shared.contract.events import ReportedMedia
from shared.contract.fields import Actor, TaskKind
from shared.contract.linking import GiveUpImport, ImportContent, LinkedReport, LinkedTask, LinkRequested
from shared.media.keys import stored
from shared.storage.media_store import MediaStore, StoreAway
from tests.s3 import BUCKET, s3_server

pytestmark = pytest.mark.promise("Each copy is what was uploaded, or the link is given up.", about="links")

PARTNER = Actor(company="vest-skadeservice")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real S3 API."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store is, if it is a folder."""
    return tmp_path / "media"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    """An empty store of each kind."""
    if request.param == "folder":
        return MediaStore.at(folder.as_uri())
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return MediaStore.at(f"{BUCKET}/{uuid4()}")


async def put(store: MediaStore, content: bytes) -> ReportedMedia:
    """Put a file into the store, as a report names it."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    upload = uuid4()
    await store.put(stored(upload), chunks())
    sha256 = hashlib.sha256(content).hexdigest()
    return ReportedMedia(
        media_id=uuid4(), name="tak.jpg", content_type="image/jpeg", size=len(content), sha256=sha256, upload_id=upload
    )


def move(folder: Path, to: Path) -> None:
    """Take the store away, or bring it back in the place of an empty folder."""
    if to.exists():
        to.rmdir()
    folder.rename(to)


def part(media: Sequence[ReportedMedia], number: int = 1) -> LinkRequested:
    """A part of a link with one report."""
    report = LinkedReport(
        report_id=uuid4(), text="Pumpet", media=list(media), at=datetime(2026, 11, 24, tzinfo=UTC), actor=PARTNER
    )
    task = LinkedTask(
        task_id=uuid4(),
        kind=TaskKind.FIRST_AID,
        office="vest-bergen",
        company="vest-skadeservice",
        needs_budget=False,
        reports=[report],
    )
    return LinkRequested(link_id=uuid4(), part=number, source_claim_id=uuid4(), target_claim_id=uuid4(), tasks=[task])


async def digests(store: MediaStore, answer: ImportContent) -> list[str]:
    """What the copies that an answer names really are."""
    media = [media for task in answer.tasks for report in task.reports for media in report.media]
    return [(await store.digest(stored(copy.stored_as))).sha256 for copy in media]


async def test_every_file_is_copied_and_is_what_it_was(store: MediaStore) -> None:
    media = [await put(store, os.urandom(1000 + n)) for n in range(50)]
    request = part(media)
    answer = await Copying(store, LinkingSettings()).copied(request)
    assert isinstance(answer, ImportContent)
    assert await digests(store, answer) == [file.sha256 for file in media]
    copies = [copy.media_id for task in answer.tasks for report in task.reports for copy in report.media]
    assert copies == [ids.copy_id(request.link_id, file.media_id) for file in media]
    assert await Copying(store, LinkingSettings()).copied(request) == answer


async def test_a_part_that_is_worked_on_several_times_at_once_is_copied_whole(store: MediaStore) -> None:
    for number in (1, 2):
        media = [await put(store, os.urandom(1000 + n)) for n in range(40)]
        request = part(media, number)
        answers = await asyncio.gather(*(Copying(store, LinkingSettings()).copied(request) for _ in range(4)))
        for answer in answers:
            assert isinstance(answer, ImportContent)
            assert answer == answers[0]
            assert await digests(store, answer) == [file.sha256 for file in media]


async def test_a_copy_that_is_there_but_wrong_is_made_again(store: MediaStore) -> None:
    file = await put(store, b"right")
    request = part([file])
    copy = ids.copy_id(request.link_id, file.media_id)

    async def wrong() -> AsyncIterator[bytes]:
        yield b"wrong"

    await store.put(stored(copy), wrong())
    answer = await Copying(store, LinkingSettings()).copied(request)
    assert isinstance(answer, ImportContent)
    assert await digests(store, answer) == [file.sha256]


async def test_a_link_with_a_file_that_is_gone_is_given_up(store: MediaStore) -> None:
    there, gone = await put(store, b"a"), await put(store, b"b")
    await store.delete(stored(gone.stored_as))
    answer = await Copying(store, LinkingSettings()).copied(part([there, gone]))
    assert isinstance(answer, GiveUpImport)
    assert answer.reason == "media_gone"


async def test_a_link_with_a_file_that_was_damaged_is_given_up(store: MediaStore) -> None:
    file = (await put(store, b"a")).model_copy(update={"sha256": "0" * 64})
    answer = await Copying(store, LinkingSettings()).copied(part([file]))
    assert isinstance(answer, GiveUpImport)
    assert answer.reason == "media_differs"


async def test_a_later_part_goes_without_the_file_that_is_gone_and_names_it(store: MediaStore) -> None:
    there, gone = await put(store, b"a"), await put(store, b"b")
    await store.delete(stored(gone.stored_as))
    answer = await Copying(store, LinkingSettings()).copied(part([there, gone], number=2))
    assert isinstance(answer, ImportContent)
    (report,) = answer.tasks[0].reports
    assert [media.source_media_id for media in report.media] == [there.media_id]
    assert [media.media_id for media in report.lost_media] == [gone.media_id]
    assert report.text == "Pumpet"


async def tried_in_vain(copying: "asyncio.Task[Any]", logged: list[EventDict]) -> bool:
    """Wait until a store that is away was tried several times; whether it still is."""
    while not copying.done() and [line["event"] for line in logged].count("store is away") < 3:
        await asyncio.wait({copying}, timeout=0.01)
    return not copying.done()


@pytest.mark.parametrize("store", ["folder"], indirect=True)
async def test_a_folder_that_is_not_mounted_is_no_store_although_it_is_there(store: MediaStore, folder: Path) -> None:
    file = await put(store, b"a")
    away = folder.with_name("away")
    move(folder, away)
    MediaStore.at(folder.as_uri())  # the mount point is there
    (folder / "claimbus-media").unlink()
    with pytest.raises(StoreAway):
        await put(store, b"b")
    with pytest.raises(StoreAway):
        await store.delete(stored(file.stored_as))
    retries = LinkingSettings(retry_first_s=0.05, retry_longest_s=0.1)
    with capture_logs() as logged:
        copied = asyncio.create_task(Copying(store, retries).copied(part([file], 2)))
        assert await tried_in_vain(copied, logged)
    move(away, folder)
    answer = await copied
    assert isinstance(answer, ImportContent)
    assert await digests(store, answer) == [file.sha256]


@pytest.mark.parametrize("store", ["s3"], indirect=True)
async def test_a_bucket_that_is_not_there_is_no_missing_file(store: MediaStore) -> None:
    nowhere = MediaStore.at("s3://another-bucket/prefix")
    file = (await put(store, b"a")).model_copy()
    with pytest.raises(StoreAway):
        await nowhere.copy(stored(file.stored_as), stored(uuid4()), file.sha256)
    with pytest.raises(StoreAway):
        await nowhere.delete(stored(file.stored_as))


@pytest.mark.parametrize("store", ["folder"], indirect=True)
async def test_a_link_is_given_up_when_the_store_is_away_for_too_long(store: MediaStore, folder: Path) -> None:
    file = await put(store, b"a")
    move(folder, folder.with_name("away"))
    answer = await Copying(store, LinkingSettings(give_up_after_s=0.5, retry_first_s=0.05)).copied(part([file]))
    assert isinstance(answer, GiveUpImport)
    assert answer.reason == "store_away"


@pytest.mark.parametrize("store", ["folder"], indirect=True)
async def test_a_link_is_given_up_when_the_store_hangs(store: MediaStore, folder: Path) -> None:
    file = await put(store, b"a")
    name = folder / stored(file.stored_as)
    name.unlink()
    os.mkfifo(name)  # whoever opens it to read waits until somebody opens it to write
    try:
        answer = await Copying(store, LinkingSettings(give_up_after_s=0.5)).copied(part([file]))
        assert isinstance(answer, GiveUpImport)
        assert answer.reason == "store_away"
    finally:
        os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.parametrize("store", ["folder"], indirect=True)
@pytest.mark.parametrize("number", [1, 2])
async def test_a_link_goes_on_when_the_store_is_back(store: MediaStore, folder: Path, number: int) -> None:
    file = await put(store, b"a")
    away = folder.with_name("away")
    move(folder, away)
    retries = LinkingSettings(retry_first_s=0.05, retry_longest_s=0.1, give_up_after_s=60 if number == 1 else 0.01)
    with capture_logs() as logged:
        copied = asyncio.create_task(Copying(store, retries).copied(part([file], number)))
        assert await tried_in_vain(copied, logged)
    move(away, folder)
    answer = await copied
    assert isinstance(answer, ImportContent)
    assert await digests(store, answer) == [file.sha256]


async def test_copies_that_nobody_needs_are_removed(store: MediaStore) -> None:
    file = await put(store, b"a")
    request = part([file])
    copying = Copying(store, LinkingSettings())
    await copying.copied(request)
    copy = ids.copy_id(request.link_id, file.media_id)
    await copying.remove([stored(copy), stored(UUID(int=1))])
    assert [listed.key async for listed in store.list("media/")] == [stored(file.stored_as)]
