"""What another machine accepted, and this one does not know, holds up its own insurer and nobody else (decision 53)."""

import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from operations.connection import Connection
from operations.stack import Stack
from shared.contract.directory_events import PortalSettingsSet
from shared.contract.envelope import sealed
from shared.contract.topics import DIRECTORY
from tests.world import World, Worlds, as_json, claimbus, wait_until

pytestmark = pytest.mark.promise(
    "What was accepted once can be read by older and newer machines; what one does not know holds up its own insurer.",
    about="requests",
)

ZONE = "America/Coyhaique2"
NOT_KNOWN = f"this installation does not know the time zone {ZONE}"
REPEATING_IT = ("permissions", "reporting", "portal")
"""The services whose health answers repeat what of the directory is not known here; each reads it at its own pace."""
HANDLERS_PAGES = ("/", "/saker", "/admin/kontorer", "/admin/selskap", "/admin/rapporter")
PLUMBERS_PAGES = ("/", "/saker", "/saker/ny")


@pytest.fixture
def other(connection: Connection, worlds: Worlds) -> Iterator[World]:
    """Companies that have nothing to do with it."""
    other = worlds.next(connection)
    yield other
    other.close()


@pytest.fixture
def older(world: World, stack: Stack) -> Iterator[World]:
    """An insurer whose settings were accepted where tzdata is newer; at the end every service knows them again."""
    accept_elsewhere(world, time_zone=ZONE)
    yield world
    world.set_portal(time_zone="Europe/Oslo", country="NO", subdivision=None)
    for name in REPEATING_IT:
        (service,) = stack.of(name)
        wait_until(lambda at=service.health: world.insurer_id not in health(at), what=f"{name} to know them")  # type: ignore[misc]


def accept_elsewhere(world: World, **settings: object) -> None:
    """Write to `directory` what the permission service of another machine would, as the operator, who may."""
    body: dict[str, Any] = {
        "company": world.insurer_id,
        "request_id": f"elsewhere-{'-'.join(settings)}",
        "request_type": "claimbus.set-portal-settings.v1",
        "requested_at": datetime.now(UTC).isoformat(),
        "settings": settings,
    }
    message = sealed(
        DIRECTORY.name,
        world.insurer_id,
        PortalSettingsSet.type(),
        json.dumps(body).encode(),
        id=f"{world.insurer_id}/{body['request_id']}",
        source="permissions",
        cause=str(body["request_id"]),
    )
    producer = Producer(world.connection.client())
    producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
    assert producer.flush(30) == 0


def test_a_time_zone_that_is_not_known_here_stops_no_service_and_no_other_insurer(
    stack: Stack, connection: Connection, older: World, other: World, tmp_path: Path
) -> None:
    (refused, accepted) = older.partner.ask(older.creation(office=older.second_office), older.creation())
    assert refused.body["code"] == "settings_not_understood"
    assert refused.body["details"] == [{"field": "insurer", "problem": NOT_KNOWN}]
    assert refused.body["decision"]["rule"] == "settings_not_understood"
    assert accepted.accepted
    assert accepted.body["decision"]["explanation"]["en"].endswith(NOT_KNOWN)
    older.event(older.insurer, "temporary-claim-created", accepted.body["claim_id"])
    other.create()

    (permissions,) = stack.of("permissions")
    permissions.stop()
    permissions.start()
    stack.wait_until_ready()
    again = older.partner.ask(older.creation(id=refused.body["request_id"], office=older.second_office))
    assert again[0].body == refused.body
    other.create()

    for name in REPEATING_IT:
        (service,) = stack.of(name)
        wait_until(lambda at=service.health: NOT_KNOWN in health(at), what=f"{name} to say so")  # type: ignore[misc]
        assert health(service.health).startswith(f"ready; {older.insurer_id}: ")
        assert NOT_KNOWN in service._process.tail_of_log(2000)  # type: ignore[union-attr]

    file = tmp_path / "connection.json"
    connection.save(file)
    status = as_json(claimbus("status", "--json", connection_file=file))
    assert status["healthy"]
    words = ("--insurer", older.insurer_id, "--office", older.second_office)
    explained = as_json(claimbus("explain", *words, "--json", connection_file=file))
    assert explained["code"] == "settings_not_understood"
    local = claimbus("explain", *words, "--at", "2027-01-02T03:04", connection_file=file)
    assert local.returncode == 2
    assert ZONE in local.stderr
    report = claimbus("report", "--insurer", older.insurer_id, connection_file=file)
    assert report.returncode == 1
    assert NOT_KNOWN in " ".join(report.stderr.split())
    assert "Traceback" not in report.stderr
    assert claimbus("report", "--insurer", other.insurer_id, "--json", connection_file=file).returncode == 0

    pages = as_person(connection, older.handler, (*HANDLERS_PAGES, f"/saker/{accepted.body['claim_id']}"))
    assert [path for path, page in pages.items() if f"kjenner ikke tidssonen {ZONE}" not in page] == []
    as_person(connection, older.plumber, (*PLUMBERS_PAGES, f"/saker/{accepted.body['claim_id']}"))
    (page,) = as_person(connection, older.night_plumber, ("/saker/ny",)).values()
    assert f"Insurer: denne installasjonen kjenner ikke tidssonen {ZONE}." in page
    as_person(connection, other.handler, HANDLERS_PAGES)


def test_a_subdivision_that_is_not_known_here_has_the_countrys_holidays_and_a_warning(
    connection: Connection, older: World, other: World
) -> None:
    accept_elsewhere(older, time_zone="Europe/Oslo", subdivision="99")
    warning = "this installation does not know the subdivision 99 of NO"
    (outcome,) = older.partner.ask(older.creation(office=older.second_office))
    assert outcome.body.get("code") in (None, "inside_office_hours")
    assert warning in outcome.body["decision"]["explanation"]["en"]
    older.register(f"SK-{older.insurer_id}")
    pages = as_person(connection, older.handler, HANDLERS_PAGES)
    assert all("kjenner ikke delen 99 av NO" in page for page in pages.values())
    as_person(connection, older.plumber, PLUMBERS_PAGES)
    other.create()


def health(address: str) -> str:
    with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:
        return str(answer.read().decode())


def as_person(connection: Connection, user: str, paths: tuple[str, ...]) -> dict[str, str]:
    """Look at pages as a user; each is there."""
    with httpx.Client(base_url=connection.portal or "", timeout=30, follow_redirects=True) as browser:

        def is_in() -> bool:
            token = re.search('name="csrf" value="([^"]+)"', browser.get("/logg-inn").text)
            assert token is not None
            form = {"csrf": token[1], "user": user}
            return browser.post("/logg-inn", data=form, follow_redirects=False).status_code == 303

        wait_until(is_in, what=f"the portal to know {user}")
        answers = {}
        for path in paths:
            wait_until(lambda at=path: browser.get(at).status_code != 404, what=f"{path} to be there")  # type: ignore[misc]
            answers[path] = browser.get(path)
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(paths, 200)
    return {path: answer.text for path, answer in answers.items()}
