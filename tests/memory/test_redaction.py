"""A claim that is redacted is empty wherever it was, and stays so, whatever crashes, is lost or comes again."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from operations.audit.media import REMOVED, check_media
from operations.connection import Connection
from services.portal.media_store import MediaTables
from services.portal.store import KeptForm
from services.portal.store import Store as PortalStore
from shared.audit.spool import Spool
from shared.audit.violations import Tally
from shared.contract import ids
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, LINK_REQUESTS, OPERATOR
from shared.media.keys import MediaKeys, UploadedMedia, stored
from shared.media.types import MediaType
from shared.messaging.memory import Step
from shared.storage.media_store import MediaStore
from tests.builders.content import INCIDENT
from tests.builders.requests import BODIES, FJORD, VEST, creation
from tests.integration.conftest import engine_of
from tests.memory.audited import audited
from tests.memory.road import READERS, Road
from tests.memory.test_lost_commits import run_until_it_keeps, tables

pytestmark = pytest.mark.promise("Of a redacted claim nothing is left that tells of a person.", about="claims")

SECRET = "Hemmelig"
WRITTEN = {
    "incident": INCIDENT
    | {
        "address": {"street": "Hemmelig vei 1", "postal_code": "0000", "city": "Hemmeligsted"},
        "description": "Hemmelig.",
    },
    "policyholder": {"name": "Hemmelig Person", "phone": "+4799999999", "email": "hemmelig@example.no"},
    "policy_number": "P-hemmelig",
}
SOURCE, TARGET = ids.claim_id(VEST, "source"), ids.claim_id(FJORD, "target")
TASK = ids.created_task_id(SOURCE, 1)
UPLOAD = UUID(int=7)
LINK = {"claim_id": str(SOURCE), "target_claim_id": str(TARGET)}
BYTES = b"\xff\xd8\xff secret"


def file_of(road: Road) -> dict[str, Any]:
    """A file of a report, with the key that completing its upload would have answered."""
    sha256 = hashlib.sha256(BYTES).hexdigest()
    upload = UploadedMedia(
        VEST, UPLOAD, "Hemmelig.jpg", MediaType.JPEG, len(BYTES), sha256, road.bus.now + timedelta(days=7)
    )
    key = MediaKeys([os.environ["CLAIMBUS_MEDIA_SECRET"]]).sign(upload)
    return {"name": upload.name, "content_type": "image/jpeg", "size": len(BYTES), "sha256": sha256, "key": key}


async def in_chunks() -> AsyncIterator[bytes]:
    yield BYTES


def store() -> MediaStore:
    """The store of the services."""
    return MediaStore.at(os.environ["CLAIMBUS_MEDIA"])


async def linked(road: Road) -> None:
    """A temporary claim with a file is corrected, and linked to another one."""
    await store().put(stored(UPLOAD), in_chunks())
    tasks = [{"kind": "first_aid"}]
    road.ask(
        VEST, "create-temporary-claim", creation(tasks=tasks, partner_reference="R-hemmelig", **WRITTEN), id="source"
    )
    road.ask(FJORD, "register-claim", BODIES["register-claim"] | WRITTEN, id="target")
    await road.run()
    report = {"claim_id": str(SOURCE), "task_id": str(TASK), "text": "Hemmelig.", "media": [file_of(road)]}
    road.ask(VEST, "report-task", report, id="report")
    amendment = {"claim_id": str(SOURCE), "policyholder": {"name": "Ny Hemmelig", "phone": "+4799999998"}}
    road.ask(VEST, "amend-claim", amendment, id="amendment")
    await road.run()
    road.ask(FJORD, "link-claim", LINK, id="link")
    await road.run()


async def much_is_written(road: Road) -> None:
    """After it was linked, the link is taken back and made again, and more is reported."""
    await linked(road)
    copy = str(ids.copy_id(ids.link_id(FJORD, "link"), TASK))
    there = {"claim_id": str(TARGET), "task_id": copy, "text": "Hemmelig der."}
    road.ask(VEST, "report-task", there, id="report-there")
    await road.run()
    road.ask(FJORD, "unlink-claim", {"claim_id": str(SOURCE)}, id="unlink")
    await road.run()
    road.ask(FJORD, "link-claim", LINK, id="link-again")
    await road.run()
    late = {"claim_id": str(SOURCE), "task_id": str(TASK), "text": "Hemmelig etterpå."}
    road.ask(VEST, "report-task", late, id="late")
    await road.run()


async def redact(road: Road, *claims: UUID) -> None:
    """Redact claims, one by its insurer, the other by the operator."""
    for claim in claims:
        road.ask(
            OPERATOR if claim == TARGET else FJORD, "redact-claim", {"claim_id": str(claim)}, id=f"redaction-{claim}"
        )
    await road.run()


async def where_it_is(road: Road, *services: str) -> dict[str, list[str]]:
    """The rows that tell of a person still, by service and table."""
    found: dict[str, list[str]] = {}
    for service in services or ("claims", *READERS):
        for table, rows in (await tables(road, service)).items():
            if told := [row for row in rows if SECRET.lower() in row.lower() or "+479999999" in row]:
                found[f"{service}.{table}"] = told
    return found


async def test_no_table_has_anything_of_it_and_the_audit_agrees(road: Road) -> None:
    await much_is_written(road)
    await road.run(*READERS)
    assert {at.partition(".")[0] for at in await where_it_is(road)} == {"claims", "portal", "suggestions"}
    await redact(road, SOURCE)
    assert {*await where_it_is(road, "claims")} == {"claims.claims", "claims.claim_events"}, "the target's own"
    await redact(road, TARGET)
    assert await where_it_is(road, "claims") == {}
    assert (await audited(road)).kept == [], "also of read models that have not met it yet"
    await road.run(*READERS)
    assert await where_it_is(road) == {}
    assert (await audited(road)).kept == []
    assert [o.get("code") for o in road.outcomes(FJORD) if o["request_id"] == f"redaction-{SOURCE}"] == [None]


async def test_what_is_published_of_it_afterwards_is_empty(road: Road) -> None:
    await much_is_written(road)
    await redact(road, SOURCE, TARGET)
    topics = (CLAIM_EVENTS, CLAIM_COMMANDS, LINK_REQUESTS)
    before = {topic: len(road.bus.records(topic.name)) for topic in topics}
    for claim in (SOURCE, TARGET):
        road.ask(OPERATOR, "republish-claim", {"claim_id": str(claim), "reader": "portal"}, id=f"again-{claim}")
    for id in ("source", "report", "amendment", "late", "link", "unlink", "link-again"):
        company, name = (
            (VEST, "create-temporary-claim") if id in ("source", "report", "late") else (FJORD, "cancel-claim")
        )
        road.ask(company, name, BODIES[name] | ({"claim_id": str(SOURCE)} if company == FJORD else {}), id=id)
    await road.run()
    bodies = [r.value or b"" for topic in topics for r in road.bus.records(topic.name)[before[topic] :]]
    again = [body for body in bodies if SECRET.lower().encode() in body.lower()]
    assert len(bodies) > len(topics)
    assert again == []
    await road.run(*READERS)
    assert (await audited(road)).kept == []


async def test_a_read_model_that_is_made_anew_has_nothing_of_it_either(road: Road) -> None:
    await much_is_written(road)
    await road.run(*READERS)
    await redact(road, SOURCE, TARGET)
    await road.run(*READERS)
    for reader in ("portal", "suggestions"):
        kept = await tables(road, reader)
        await tables(road, reader, restore={name: rows if name == "positions" else [] for name, rows in kept.items()})
        for claim in (SOURCE, TARGET):
            body = {"claim_id": str(claim), "reader": reader}
            road.ask(OPERATOR, "republish-claim", body, id=f"again-{reader}-{claim}")
    await road.run()
    await road.run("portal", "suggestions")
    assert await where_it_is(road, "portal", "suggestions") == {}
    assert (await audited(road)).kept == []


async def test_a_record_that_lost_the_redaction_has_it_again(road: Road) -> None:
    before = await tables(road, "claims")
    await much_is_written(road)
    written = await tables(road, "claims")
    await redact(road, SOURCE, TARGET)
    after = await tables(road, "claims")
    for lost in (written, before):
        await tables(road, "claims", restore=lost)
        await run_until_it_keeps(road, "claims", after)
        assert await where_it_is(road, "claims") == {}
    await road.run(*READERS)
    assert (await audited(road)).kept == []


async def test_a_crash_in_between_changes_nothing(road: Road) -> None:
    await linked(road)
    await road.run(*READERS)
    crashes: list[tuple[UUID, Step]] = [(SOURCE, "decided"), (TARGET, "published")]
    for claim, step in crashes:
        road.ask(FJORD, "redact-claim", {"claim_id": str(claim)}, id=f"redaction-{claim}")
        await road.run("permissions")
        with road.bus.crash(after=step):
            await road.run("claims")
    await road.run()
    for reader in ("portal", "suggestions"):
        with road.bus.crash(after="decided"):
            await road.run(reader)
    await road.run(*READERS)
    assert await where_it_is(road) == {}
    assert (await audited(road)).kept == []


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that the portal does in its own time."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - of another connection
            await asyncio.sleep(0.02)


async def waits_to_be_removed(road: Road) -> list[str]:
    return (await tables(road, "portal"))["removals"]


async def test_its_files_and_their_uploads_are_removed_once_the_store_is_there(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.portal.removing._AGAIN_S", 0.05)
    await linked(road)
    await road.run(*READERS)
    async with engine_of(road.databases["portal"]) as engine:
        form = KeptForm("1", "kari", f"/saker/{SOURCE}/avbryt", [("reason", "Hemmelig")])
        await PortalStore(engine).keep_form(form)
    assert len([*(tmp_path / "media").iterdir()]) == len([UPLOAD, "its copy"])
    (tmp_path / "something").touch()  # or it would be taken for a new store
    mark, away = tmp_path / "claimbus-media", tmp_path.parent / f"{tmp_path.name}-away"
    mark.rename(away)  # the store is away
    (tmp_path / "media").rename(tmp_path.parent / f"{tmp_path.name}-files")
    await redact(road, SOURCE, TARGET)
    await road.run("portal")
    assert await waits_to_be_removed(road)
    assert await where_it_is(road, "portal") == {}, "nothing else waits for the store, nor does a form stay"
    (tmp_path.parent / f"{tmp_path.name}-files").rename(tmp_path / "media")
    away.rename(mark)

    async def is_removed() -> bool:
        return not await waits_to_be_removed(road)

    async with road.bus.instance(lambda bus: road.build("portal", bus)):
        await until(is_removed)
    assert list((tmp_path / "media").iterdir()) == []
    assert (await tables(road, "portal"))["media"] == []


async def test_a_file_that_another_claim_has_too_stays(road: Road) -> None:
    await linked(road)
    road.ask(VEST, "create-temporary-claim", creation(tasks=[{"kind": "first_aid"}]), id="other")
    await road.run()
    other = ids.claim_id(VEST, "other")
    report = {"claim_id": str(other), "task_id": str(ids.created_task_id(other, 1)), "media": [file_of(road)]}
    road.ask(VEST, "report-task", report, id="same-file")
    await redact(road, SOURCE)
    await road.run(*READERS)
    async with engine_of(road.databases["portal"]) as engine:
        assert await MediaTables(engine).to_remove(10) == []
    assert (await store().head(stored(UPLOAD))).size == len(BYTES)


async def test_a_file_that_was_left_in_the_store_is_found(road: Road) -> None:
    await linked(road)
    await redact(road, SOURCE)
    await road.run("portal")
    spool, tally = Spool(), Tally()
    spool.add("redactions", SOURCE.bytes, 9)
    spool.add("removed_media", SOURCE.bytes, stored(UPLOAD))
    spool.add("read_models", "portal", SOURCE.bytes, 9, b"")
    spool.index()
    connection = Connection(bootstrap_servers="", media=os.environ["CLAIMBUS_MEDIA"])
    await store().put(stored(UPLOAD), in_chunks())
    await check_media(connection, spool, tally, lambda _: None)
    assert [violation.invariant for violation in tally.kept] == [REMOVED]
    await store().delete(stored(UPLOAD))
    found = Tally()
    await check_media(connection, spool, found, lambda _: None)
    assert found.kept == []
