"""What the audit lays down of the messages that it reads, and how far they go."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from operations.audit.media import check_media
from operations.audit.topics import Reach, TopicSpooler, spool_directory, spool_reach
from operations.connection import Connection, Unreachable
from services.permissions.claim_rules import check
from services.permissions.messages import command
from shared.audit.invariants import decisions_recomputed, nothing_passed_over
from shared.audit.spool import Spool
from shared.audit.violations import Tally
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import SettingsRequestRefused
from shared.contract.topics import CLAIM_COMMANDS, DIRECTORY, REQUESTS
from shared.domain.directory import Directory
from shared.media.keys import stored
from shared.storage.media_store import MediaStore
from tests.builders.directory import permitted
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.records import record, record_of
from tests.builders.requests import BODIES, FJORD, VEST, asks, headers_of

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds what breaks an invariant, on the topics and in the tables.", about="running"
)

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
BEGAN_MS = round(BEGAN.timestamp() * 1000)
TOPIC = REQUESTS.of(VEST)


def reach(ends: dict[tuple[str, int], tuple[int, int]], first_times: dict[tuple[str, int], int]) -> Reach:
    return Reach(BEGAN, {"permissions": {(TOPIC, 0): 5}}, ends, first_times)


def laid_down(decided_by: Directory) -> Spool:
    """A request as it stands on its topic, and what permissions made of it with a directory."""
    spool = Spool()
    spooler = TopicSpooler(spool, reach({}, {}), permitted())
    body = BODIES["create-temporary-claim"]
    received = asks(VEST, "create-temporary-claim", body, at=TUESDAY_EVENING, id="one")
    headers = headers_of("claimbus.create-temporary-claim.v1", "one")
    spooler.take_record(record(topic=TOPIC, value=received.envelope.body, headers=headers))
    decided = check(decided_by, received)
    assert isinstance(decided, CheckedRequest)
    spooler.take_record(record_of(command(decided, received)))
    spool.index()
    return spool


def test_a_decision_by_the_directory_as_it_was_is_right() -> None:
    spool = laid_down(permitted())
    assert spool.counts["requests"] == spool.counts["commands"] == 1
    assert list(decisions_recomputed(spool)) == []


def test_a_decision_by_another_directory_is_found() -> None:
    spool = laid_down(permitted("never"))
    ((about, sentence),) = decisions_recomputed(spool)
    assert about == f"{VEST}/one"
    assert "otherwise than accepted (always_permitted" in sentence


def test_what_is_older_than_its_request_shows_that_the_brokers_clocks_are_apart() -> None:
    spool, so_far = Spool(), reach({}, {})
    spooler = TopicSpooler(spool, so_far, permitted())
    asked = asks(VEST, "create-temporary-claim", BODIES["create-temporary-claim"], at=TUESDAY_EVENING, id="one")
    decided = check(permitted(), asked)
    assert isinstance(decided, CheckedRequest)
    for later_s in (-3, -2, 1):
        appended = record_of(command(decided, asked))
        spooler.take_record(replace(appended, timestamp=appended.timestamp + 1000 * later_s))
    spool_directory(spool, [(refused_settings("one", TUESDAY_EVENING + timedelta(seconds=5)), TUESDAY_EVENING)])
    spool_reach(spool, so_far)
    spool.index()
    assert dict(spool.query("select topic, apart from clocks")) == {CLAIM_COMMANDS.name: 3000, DIRECTORY.name: 5000}


def refused_settings(request_id: str, requested_at: datetime) -> SettingsRequestRefused:
    about = {"company": FJORD, "request_id": request_id, "request_type": "claimbus.set-portal-settings.v1"}
    return SettingsRequestRefused.model_validate({**about, "requested_at": requested_at, "code": Code.INVALID_REQUEST})


def test_a_message_of_the_directory_counts_from_when_it_is_in_force() -> None:
    spool = Spool()
    times = [TUESDAY_EVENING + timedelta(seconds=later_s) for later_s in (10, 0)]
    spool_directory(spool, [(refused_settings(str(number), at), at) for number, at in enumerate(times)])
    spool.index()
    assert {at for (at,) in spool.query("select at from directory_entries")} == {round(times[0].timestamp() * 1000)}
    assert not spool.counts["clocks"]


def test_a_message_that_nobody_can_read_has_to_be_put_aside_where_its_reader_has_passed_it() -> None:
    spool = Spool()
    spooler = TopicSpooler(spool, reach({}, {}), permitted())
    for offset in (4, 5):
        spooler.take_record(record(topic=TOPIC, offset=offset, value=b"{}"))
    spool.index()
    assert [about for about, _ in nothing_passed_over(spool)] == [f"{TOPIC}/0/4"]


def test_whoever_has_committed_more_than_there_is_will_pass_over_what_comes() -> None:
    assert not list(reach({(TOPIC, 0): (0, 5)}, {}).too_far())
    assert list(reach({(TOPIC, 0): (0, 4)}, {}).too_far()) == [("permissions", TOPIC, 0, 5, 4)]
    assert not list(reach({}, {}).too_far())


@pytest.mark.parametrize(
    ("ends", "first_times", "since"),
    [
        pytest.param({0: (0, 9), 1: (0, 0)}, {0: 5_000_000}, 5_000_000, id="nothing was deleted yet"),
        pytest.param({0: (7, 9), 1: (3, 9)}, {0: 5_000_000, 1: 6_000_000}, 6_000_000, id="some was deleted"),
        pytest.param({0: (7, 9), 1: (0, 9)}, {0: 5_000_000, 1: 6_000_000}, 5_000_000, id="of one partition"),
        pytest.param({0: (9, 9), 1: (0, 9)}, {1: 6_000_000}, BEGAN_MS, id="all of one partition"),
        pytest.param({0: (0, 0)}, {}, BEGAN_MS, id="there is nothing"),
    ],
)
def test_since_when_a_topic_has_everything(
    ends: dict[int, tuple[int, int]], first_times: dict[int, int], since: int
) -> None:
    of_topic = {(TOPIC, part): bounds for part, bounds in ends.items()}
    times = {(TOPIC, part): at for part, at in first_times.items()}
    assert dict(reach(of_topic, times).kept_since()) == {TOPIC: since}


async def test_files_that_are_not_as_they_were_verified_are_found(tmp_path: Path) -> None:
    connection = Connection(bootstrap_servers="", media=(tmp_path / "media").as_uri())
    spool = Spool()
    sha256 = hashlib.sha256(b"a photo").hexdigest()
    for version, size, link in ((1, 7, None), (2, 8, None), (3, 7, "undone"), (4, 7, None)):
        spool.add("media", UUID(int=9).bytes, version, link, stored(UUID(int=version)), size, sha256)
    spool.add("link_events", "undone", "withdrawn", 1, UUID(int=9).bytes, 5, 0)
    spool.index()
    tally = Tally()
    with pytest.raises(Unreachable):
        await check_media(connection, spool, tally, lambda _: None)
    MediaStore.at(connection.media or "")
    for version in (1, 2):
        file = tmp_path / "media" / stored(UUID(int=version))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a photo")
    await check_media(connection, spool, tally, lambda _: None)
    assert [violation.about for violation in tally.kept] == [f"{UUID(int=9)}/2", f"{UUID(int=9)}/4"]
