"""The store of media, as a folder and on a real S3 API: whole or not at all, verified, and a chunk at a time."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from shared.media.keys import INCOMING, incoming, stored
from shared.media.types import FIRST_BYTES
from shared.storage.media_store import MediaDiffers, MediaGone, MediaStore, StoreAway
from tests.s3 import BUCKET, s3_server

BYTES = os.urandom(3_000_000)
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real S3 API."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as variables:
        yield variables


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    """An empty store of each kind."""
    if request.param == "folder":
        return MediaStore.at((tmp_path / "mine and others' æøå").as_uri())
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return MediaStore.at(f"{BUCKET}/{uuid4()}")


async def chunks(content: bytes = BYTES, size: int = 100_000) -> AsyncIterator[bytes]:
    """The bytes as they come over a network."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.fixture
async def upload(store: MediaStore) -> UUID:
    """A file in the store."""
    id = uuid4()
    await store.put(stored(id), chunks())
    return id


async def test_what_is_written_is_read_back(store: MediaStore, upload: UUID) -> None:
    assert b"".join([chunk async for chunk in store.stream(stored(upload))]) == BYTES
    digest = await store.digest(stored(upload))
    assert (digest.size, digest.sha256, digest.first) == (len(BYTES), SHA256, BYTES[:FIRST_BYTES])
    head = await store.head(stored(upload))
    assert (head.key, head.size) == (stored(upload), len(BYTES))
    assert head.modified.tzinfo is not None


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 10), (2_999_999, None), (1_500_000, 2_700_001), (0, None)])
async def test_a_part_of_a_file_is_read_alone(store: MediaStore, upload: UUID, start: int, end: int | None) -> None:
    read = b"".join([chunk async for chunk in store.stream(stored(upload), start, end)])
    assert read == BYTES[start:end]


async def test_a_file_comes_in_chunks(store: MediaStore, upload: UUID) -> None:
    assert max([len(chunk) async for chunk in store.stream(stored(upload))]) < 2 * 1024 * 1024


async def test_an_upload_that_breaks_leaves_nothing_and_can_be_made_again(store: MediaStore) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        async for chunk in chunks():
            yield chunk
        raise ConnectionAbortedError

    key = incoming(uuid4())
    with pytest.raises((StoreAway, ConnectionAbortedError)):
        await store.put(key, breaks())
    with pytest.raises(MediaGone):
        await store.head(key)
    await store.put(key, chunks(b"first"))
    await store.put(key, chunks())
    assert (await store.digest(key)).sha256 == SHA256


async def test_a_copy_has_the_same_bytes_and_outlives_what_it_was_made_of(store: MediaStore, upload: UUID) -> None:
    copy = stored(uuid4())
    await store.copy(stored(upload), copy, SHA256)
    await store.delete(stored(upload))
    assert (await store.digest(copy)).sha256 == SHA256


async def test_a_copy_that_is_there_and_right_is_not_made_again(store: MediaStore, upload: UUID) -> None:
    copy = stored(uuid4())
    await store.copy(stored(upload), copy, SHA256)
    await store.delete(stored(upload))
    await store.copy(stored(upload), copy, SHA256)
    assert (await store.digest(copy)).sha256 == SHA256


async def test_a_copy_that_is_there_and_wrong_is_made_anew(store: MediaStore, upload: UUID) -> None:
    copy = stored(uuid4())
    await store.put(copy, chunks(b"half of it"))
    await store.copy(stored(upload), copy, SHA256)
    assert (await store.digest(copy)).sha256 == SHA256


async def test_a_file_that_is_not_what_it_should_be_has_no_copy(store: MediaStore, upload: UUID) -> None:
    copy = stored(uuid4())
    with pytest.raises(MediaDiffers):
        await store.copy(stored(upload), copy, hashlib.sha256(b"another").hexdigest())
    with pytest.raises(MediaGone):
        await store.head(copy)


async def test_a_file_written_anew_leaves_its_copy_as_it_was(store: MediaStore, upload: UUID) -> None:
    copy = stored(uuid4())
    await store.copy(stored(upload), copy, SHA256)
    await store.put(stored(upload), chunks(b"another"))
    assert (await store.digest(copy)).sha256 == SHA256


async def test_a_file_that_is_not_there_is_gone_and_no_fault_of_the_store(store: MediaStore, upload: UUID) -> None:
    nowhere = stored(uuid4())
    for reading in (store.head(nowhere), store.digest(nowhere), store.copy(nowhere, stored(uuid4()), SHA256)):
        with pytest.raises(MediaGone):
            await reading
    await store.delete(nowhere)


async def test_files_are_listed_with_their_sizes(store: MediaStore, upload: UUID) -> None:
    unfinished = uuid4()
    await store.put(incoming(unfinished), chunks(b"part"))
    assert [(f.key, f.size) async for f in store.list(INCOMING)] == [(incoming(unfinished), 4)]


async def test_a_signed_address_takes_one_file_from_anybody(store: MediaStore, request: pytest.FixtureRequest) -> None:
    if not store.signs:
        with pytest.raises(TypeError):
            await store.signed("PUT", incoming(uuid4()), timedelta(minutes=1))
        return
    key = incoming(uuid4())
    async with httpx.AsyncClient() as client:
        put = await client.put(await store.signed("PUT", key, timedelta(minutes=1)), content=BYTES)
        got = await client.get(await store.signed("GET", key, timedelta(minutes=1)))
    assert (put.status_code, got.status_code) == (200, 200)
    assert got.content == BYTES
    assert (await store.digest(key)).sha256 == SHA256


async def test_a_store_that_does_not_answer_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = MediaStore.at("s3://media")
    for call in (store.ping(), store.head(stored(uuid4())), store.digest(stored(uuid4()))):
        with pytest.raises(StoreAway):
            await call
    (tmp_path / "a file").touch()
    with pytest.raises(StoreAway):
        MediaStore.at((tmp_path / "a file" / "below").as_uri())


@pytest.mark.parametrize("address", ["", "media", "https://example.org", "file://host/a", "s3://", "file:relative"])
def test_an_address_that_is_neither_a_folder_nor_s3_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="file:///folder or s3://bucket/prefix"):
        MediaStore.at(address)


async def test_a_store_that_answers_says_so(store: MediaStore) -> None:
    await store.ping()
