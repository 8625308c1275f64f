"""`claimbus apply` of a directory of any size: in parts, and after it was broken off only what is missing."""

import functools
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from operations.apply import Applied, NotApplied, Onlooker, apply_directory
from operations.bus import Company
from operations.connection import Connection, Unreachable
from operations.directory_file import DirectoryFile
from operations.directory_view import directory_from_bus
from operations.provisioning import missing_topics
from shared.contract.topics import EVENTS, REQUESTS
from shared.domain.companies import OfficePermission
from shared.domain.directory import LATEST
from tests.builders.directory_file import insurer, partner, permission, user
from tests.builders.requests import new_request
from tests.world import as_json, claimbus, wait_until


def directory(partners: int, users: int = 1) -> dict[str, Any]:
    """An insurer that permits the offices of many partners, all with ids of their own."""
    run = uuid.uuid4().hex[:8]
    offices = [f"office-{run}-{n}" for n in range(partners)]
    entries = [insurer(f"insurer-{run}", permissions=[permission(office) for office in offices])]
    entries += (
        partner(
            f"partner-{run}-{n}",
            f"Partner {n}",
            offices=[{"id": office, "name": "Bergen [/sentrum]"}],
            users=[user(f"user-{run}-{n}-{u}", "Ola", 2, office) for u in range(users)],
        )
        for n, office in enumerate(offices)
    )
    return {"companies": entries}


@pytest.fixture
def file(connection: Connection, tmp_path: Path) -> Path:
    """A connection file, as `claimbus up` writes it."""
    file = tmp_path / "connection.json"
    connection.save(file)
    return file


class BreaksOff(Onlooker):
    """Somebody who presses Ctrl-C when so much is done."""

    def __init__(self, companies: int, requests: int) -> None:
        self._companies = companies
        self._requests = requests
        self.seen: list[tuple[int, int]] = []

    def progress(self, applied: Applied) -> None:
        """Look how far it is."""
        self.seen.append((len(applied.provisioned), len(applied.done)))
        if len(applied.provisioned) >= self._companies and len(applied.done) >= self._requests:
            raise KeyboardInterrupt


def test_many_companies_and_requests_go_in_parts_and_a_second_time_only_what_is_missing(
    connection: Connection, file: Path
) -> None:
    wanted = DirectoryFile.model_validate(directory(partners=30, users=10))
    ids = [company.id for company in wanted.companies]

    def in_parts(applied: Applied, onlooker: Onlooker | None = None) -> None:
        parts = functools.partial(apply_directory, companies_in_a_part=7, requests_in_a_part=40)
        parts(connection, wanted, file, onlooker=onlooker, applied=applied)

    first, second, third = Applied(), Applied(), Applied()
    with pytest.raises(KeyboardInterrupt):
        in_parts(first, BreaksOff(14, 0))
    assert len(first.provisioned) == 14
    assert missing_topics(connection, first.provisioned) == []
    assert set(first.provisioned) <= set(Connection.model_validate_json(file.read_text()).companies)
    with pytest.raises(KeyboardInterrupt):
        in_parts(second, BreaksOff(17, 60))
    assert [*first.provisioned, *second.provisioned] == ids
    assert len(second.steps) == 31 + 30 + 300 + 30
    assert 60 <= len(second.done) < len(second.steps)
    in_parts(third)
    assert third.provisioned == []
    assert len(second.steps) - 40 - len(second.done) <= len(third.steps) <= len(second.steps) - len(second.done)
    assert len(third.done) == len(third.steps)
    assert not apply_directory(connection, wanted, file).steps


def test_what_a_file_leaves_out_is_named_and_is_removed_when_that_is_asked_for(connection: Connection) -> None:
    content = directory(partners=3, users=2)
    apply_directory(connection, DirectoryFile.model_validate(content), None)
    an_insurer, first, second, third = content["companies"]
    del an_insurer["permissions"][0]
    gone = first["users"].pop()["id"]
    moving = second["offices"].pop()
    second["users"][0]["office"] = None
    leaving = second["users"].pop()["id"]
    third["offices"].append(moving)
    third["users"][0]["office"] = moving["id"]
    an_insurer["permissions"] = [each for each in an_insurer["permissions"] if each["office"] != moving["id"]]
    wanted = DirectoryFile.model_validate(content)

    said = apply_directory(connection, partners_without(wanted, third["id"]), None)
    assert {step.sentence for step in said.left_out} == {
        f"took from {first['offices'][0]['id']} what it may do for {an_insurer['id']}",
        f"removed the user {gone} of {first['id']}",
        f"removed the user {leaving} of {second['id']}",
        f"removed the office {moving['id']} of {second['id']}",
    }
    done = apply_directory(connection, wanted, None, remove=True)
    assert len(done.done) == len(done.steps)
    now = directory_from_bus(connection)
    assert now.user(gone, LATEST) is None
    office = now.office(moving["id"], LATEST)
    assert office is not None
    assert office.company == third["id"]
    assert now.permission(an_insurer["id"], first["offices"][0]["id"], LATEST) == OfficePermission()
    again = apply_directory(connection, wanted, None)
    assert (again.steps, again.left_out) == ([], [])


def partners_without(wanted: DirectoryFile, company: str) -> DirectoryFile:
    """The same file without a company."""
    return DirectoryFile(companies=[each for each in wanted.companies if each.id != company])


def test_a_company_that_is_removed_cannot_come_in_until_it_is_applied_again(connection: Connection, file: Path) -> None:
    content = DirectoryFile.model_validate(directory(partners=1))
    apply_directory(connection, content, file)
    company = content.companies[1].id
    with Company(connection, company) as before:
        before.send([new_request("create-temporary-claim")])
        done = claimbus("remove", company, connection_file=file)
        assert done.stdout.startswith(f"removed {company}: ")
        with pytest.raises(KafkaException, match="authorization"):
            before.send([new_request("create-temporary-claim")])
    with pytest.raises(Unreachable):
        Company(connection, company)
    kept = Connection.model_validate_json(file.read_text())
    assert company not in kept.companies
    now = directory_from_bus(connection)
    assert now.company(company, LATEST) is None
    assert now.offices_of(company, LATEST) == []
    assert "removed before" in claimbus("remove", company, connection_file=file).stdout
    apply_directory(kept, content, file, new_passwords=True)
    with Company(kept, company) as again:
        (outcome,) = again.ask(new_request("create-temporary-claim", insurer=content.companies[0].id))
        assert outcome.body["code"] != "sender_not_allowed"


def test_nobody_is_removed_who_is_not_there(file: Path) -> None:
    assert "there is no company nobody" in claimbus("remove", "nobody", connection_file=file).stderr


def test_a_companys_topics_get_as_many_partitions_as_the_file_has_for_it(connection: Connection) -> None:
    content = directory(partners=2)
    content["companies"][1]["partitions"] = 1
    apply_directory(connection, DirectoryFile.model_validate(content), None)
    topics = AdminClient(connection.client()).list_topics(timeout=10).topics
    made = [
        len(topics[topic.of(company["id"])].partitions)
        for company in content["companies"]
        for topic in (REQUESTS, EVENTS)
    ]
    assert made == [3, 3, 1, 1, 3, 3]


def test_what_is_refused_keeps_nothing_else_from_being_done_and_is_named(connection: Connection) -> None:
    content = directory(partners=3)
    other = directory(partners=1)
    apply_directory(connection, DirectoryFile.model_validate(other), None)
    content["companies"][2]["offices"][0]["id"] = other["companies"][1]["offices"][0]["id"]  # another company has it
    content["companies"][2]["users"][0]["office"] = content["companies"][2]["offices"][0]["id"]
    content["companies"][0]["permissions"] = content["companies"][0]["permissions"][::2]
    applied = Applied()
    with pytest.raises(NotApplied) as refused:
        apply_directory(connection, DirectoryFile.model_validate(content), None, applied=applied)
    assert f"registered the office {content['companies'][2]['offices'][0]['id']}" in str(refused.value)
    assert len(applied.refused) == 2
    assert len(applied.done) == len(applied.steps) - 2


def test_a_command_that_is_killed_in_the_middle_is_finished_by_the_same_command(file: Path, tmp_path: Path) -> None:
    content = directory(partners=40)
    ids = [company["id"] for company in content["companies"]]
    wanted = tmp_path / "directory.yaml"
    wanted.write_text(DirectoryFile.model_validate(content).model_dump_json(exclude_none=True))
    words = ["apply", str(wanted), f"--connection-file={file}"]
    connection = Connection.model_validate_json(file.read_text())
    process = subprocess.Popen([str(Path(sys.executable).with_name("claimbus")), *words], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(missing_topics(connection, ids)) < 2 * len(ids), what="the first topics")
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = as_json(claimbus(*words, "--json"))
    assert len(rest["provisioned"]) < len(ids)
    assert missing_topics(connection, ids) == []
    kept = Connection.model_validate_json(file.read_text())
    assert set(ids) <= set(kept.companies)
    assert as_json(claimbus(*words, "--json")) == {"provisioned": [], "done": [], "left_out": []}
    for id in (ids[0], ids[1], ids[-1]):  # each can log in, and has its two topics alone
        topics = kept_topics(kept, id)
        assert {REQUESTS.of(id), EVENTS.of(id)} == topics


def kept_topics(connection: Connection, company: str) -> set[str]:
    return set(AdminClient(connection.client(company)).list_topics(timeout=30).topics)
