"""A link ends whole or taken back, whatever is killed, slow or large (domain rules 15–17)."""

import hashlib
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from operations.bus import Delivered
from operations.stack import Instance, Stack
from operations.uploads import fetch_when_there, upload
from shared.contract import ids
from shared.media.keys import stored
from tests.builders.content import FIRST_AID
from tests.system.test_linking import of, register
from tests.world import World, link, report, wait_until

JPEG = b"\xff\xd8\xff\xe0"
MIB = 1024 * 1024
KILLS = 8
FILES_IN_A_REPORT = 250
"""So that a report's body stays under 256 KiB."""


def files(world: World, number: int, sizes: Sequence[int] = (1000, 20_000, 300_000)) -> list[dict[str, Any]]:
    """Make what reports say of so many files; a few uploads are named again and again."""
    uploads = [
        upload(world.connection, world.partner_id, f"{n}.jpg", "image/jpeg", JPEG + os.urandom(size))
        for n, size in enumerate(sizes)
    ]
    return [{**uploads[n % len(uploads)], "name": f"{n}.jpg"} for n in range(number)]


def claim_with(world: World, media: list[dict[str, Any]]) -> Delivered:
    """Make a temporary claim with reports that name files."""
    claim = world.create(tasks=[FIRST_AID])
    reports = [
        report(claim, f"rapport {n}", media=media[n : n + FILES_IN_A_REPORT])
        for n in range(0, len(media), FILES_IN_A_REPORT)
    ]
    for outcome in world.partner.ask(*reports):
        assert outcome.accepted, outcome.body
    return claim


def imported(world: World, target: str, number: int) -> list[dict[str, Any]]:
    """Wait for the files that a claim imports; its events and those of the claim they come from have no order."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        world.insurer.read()
        found[:] = [
            media
            for event in of(world.insurer, "content-imported", target)
            for task in event.body["tasks"]
            for made in task["reports"]
            for media in made["media"]
        ]
        return len(found) >= number

    wait_until(all_there, what=f"{number} files")
    return found


def has_come(world: World, name: str, claim: str) -> bool:
    """Whether the insurer has an event."""
    world.insurer.read()
    return any(of(world.insurer, name, claim))


def copies_in(stack: Stack) -> int:
    """How many files are in the store."""
    return sum(1 for _ in (stack.folder / "media" / "media").iterdir())


@pytest.fixture
def linking(stack: Stack) -> Iterator[Instance]:
    """The one instance of linking, which runs again afterwards."""
    (instance,) = stack.of("linking")
    yield instance
    if instance.pid is None:
        instance.start()
    stack.wait_until_ready()


@pytest.mark.promise("A link of 200 files that is killed eight times ends whole.", about="links")
def test_a_link_of_200_files_that_is_killed_eight_times_ends_whole(
    stack: Stack, world: World, linking: Instance
) -> None:
    claim = claim_with(world, files(world, 200, sizes=(2 * MIB,) * 5))
    source, (target, _) = claim.body["claim_id"], register(world)
    chance = random.Random(2026)
    before = copies_in(stack)
    _kill(linking)
    assert world.insurer.ask(link(claim, target))[0].accepted
    in_the_middle = 0
    (claims,) = stack.of("claims")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLAIMBUS_SESSION_TIMEOUT_MS", "1000")  # so long the next one waits for the one before
        for n in range(KILLS):
            made = copies_in(stack) - before
            enough = made + chance.randint(1, 20)
            linking.start()
            wait_until(_either(lambda: copies_in(stack) - before, enough, world, source), what="more copies")
            _kill(linking)
            if n % 4 == 3:  # and the other end of the chain
                _kill(claims)
                claims.start()
            in_the_middle += made < copies_in(stack) - before < 200
    assert in_the_middle > KILLS // 2, "most kills were in the middle of the copying"
    linking.start()
    wait_until(lambda: has_come(world, "claim-linked", source), what="the link to end")
    imported(world, target, 200)
    world.settle()
    media = imported(world, target, 200)
    assert len(media) == len({file["media_id"] for file in media}) == 200
    for file in media[::20]:
        content = fetch_when_there(world.connection, world.insurer_id, file["media_id"])
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
    assert not list(of(world.insurer, "link-failed", source))


@pytest.mark.promise(
    "A slow link holds up no other; 2,000 files and a 100 MiB video take bounded memory.", about="links"
)
def test_a_slow_link_does_not_hold_up_the_links_behind_it(stack: Stack, world: World) -> None:
    slow_file, quick_file = files(world, 2, sizes=(1000, 1000))
    slow, quick = claim_with(world, [slow_file]), claim_with(world, [quick_file])
    target, _ = register(world)
    reported = world.event(world.insurer, "task-reported", slow.body["claim_id"])
    (media,) = reported.body["report"]["media"]
    file = stack.folder / "media" / stored(media["upload_id"])
    pipe = stack.folder / "pipe"
    file.rename(stack.folder / "file")
    os.mkfifo(pipe)
    file.hardlink_to(pipe)  # whoever opens it to read waits until somebody opens it to write
    assert world.insurer.ask(link(slow, target))[0].accepted
    assert world.insurer.ask(link(quick, target))[0].accepted
    world.event(world.insurer, "claim-linked", quick.body["claim_id"])
    started = world.event(world.insurer, "link-started", slow.body["claim_id"])
    copy = stored(ids.copy_id(UUID(started.body["link_id"]), UUID(media["media_id"])))
    wait_until((stack.folder / "media" / copy).exists, what="the slow copy")
    assert not has_come(world, "claim-linked", slow.body["claim_id"])
    (stack.folder / "media" / copy).unlink()
    (stack.folder / "file").replace(file)
    pipe.open("wb").close()
    world.event(world.insurer, "claim-linked", slow.body["claim_id"])
    assert len(imported(world, target, 2)) == 2


@pytest.mark.promise(
    "A slow link holds up no other; 2,000 files and a 100 MiB video take bounded memory.", about="links"
)
def test_links_of_2000_files_and_of_a_100_mib_video_work_in_bounded_memory(
    stack: Stack, world: World, linking: Instance
) -> None:
    video = upload(
        world.connection,
        world.partner_id,
        "video.mp4",
        "video/mp4",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + os.urandom(100 * MIB - 24),
    )
    many, large = claim_with(world, files(world, 2000, sizes=(1000,))), claim_with(world, [video])
    target, _ = register(world)
    assert linking.pid is not None
    Path(f"/proc/{linking.pid}/clear_refs").write_text("5")  # the peak counts from now
    before = _peak(linking)
    assert world.insurer.ask(link(many, target))[0].accepted
    assert world.insurer.ask(link(large, target))[0].accepted
    for claim in (many, large):
        wait_until(lambda claim=claim: has_come(world, "claim-linked", claim.body["claim_id"]), what="the link")  # type: ignore[misc]
    assert len(imported(world, target, 2001)) == 2001
    assert _peak(linking) - before < 80 * MIB


def test_a_link_waits_for_a_store_that_is_away(stack: Stack, world: World) -> None:
    claim = claim_with(world, files(world, 3))
    target, _ = register(world)
    store = stack.folder / "media"
    away = store.with_name("media-away")
    store.rename(away)
    try:
        assert world.insurer.ask(link(claim, target))[0].accepted
        (instance,) = stack.of("linking")
        wait_until(lambda: "store is away" in instance.log_tail(), what="linking to find the store away")
        assert world.partner.ask(report(claim, "i mellomtiden"))[0].accepted
    finally:
        if store.exists():
            store.rmdir()
        away.rename(store)
    world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    assert len(imported(world, target, 3)) == 3


def _kill(instance: Instance) -> None:
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    wait_until(lambda: instance.pid is None, what="it to be dead")


def _peak(instance: Instance) -> int:
    """The largest memory that was resident at once, in bytes."""
    status = Path(f"/proc/{instance.pid}/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024


def _either(count: Callable[[], int], enough: int, world: World, claim: str) -> Callable[[], bool]:
    return lambda: count() >= enough or has_come(world, "claim-linked", claim)
