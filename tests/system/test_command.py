"""The `claimbus` command as its users have it: its words, its output, its exit status."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from operations.bus import Company, NewRequest
from operations.connection import CompanyAccess, Connection, Unreachable
from operations.embedded import free_port
from operations.records import read_all
from operations.services import REGISTRY, WITH_DATABASE
from operations.stack import Stack
from operations.stack.databases import all_are_new_enough
from shared.contract.topics import DEAD_LETTERS, EVENTS, OPERATOR, TOPICS
from tests.builders.requests import new_request
from tests.world import World, as_json, claimbus, wait_until

ANOTHER = ("another", "another", "a word")
DIRECTORY = Path(__file__).parents[2] / "operations" / "demo" / "directory.yaml"


@pytest.fixture
def file(connection: Connection, tmp_path: Path) -> Path:
    """A connection file, as `claimbus up` writes it."""
    file = tmp_path / "connection.json"
    connection.save(file)
    return file


def explain(*words: str | Path) -> Any:
    done = claimbus("explain", "--insurer", "fjord-forsikring", *words, "--directory", DIRECTORY, "--json")
    assert done.returncode == 0, done.stderr
    return as_json(done)


@pytest.mark.parametrize(
    ("office", "at", "allowed", "code", "rule"),
    [
        ("vest-voss", "2026-11-24T15:59:59.999999+01:00", False, "inside_office_hours", "inside_office_hours"),
        ("vest-voss", "2026-11-24T16:00:00+01:00", True, None, "after_closing"),
        ("vest-voss", "2026-11-24T07:59:59Z", False, "inside_office_hours", "inside_office_hours"),  # 08:59:59 in Oslo
        ("vest-voss", "2026-11-24T07:59:59.999999", True, None, "before_opening"),  # the insurer's local time
        ("vest-voss", "2026-12-24T12:00:00+01:00", True, None, "after_closing"),
        ("vest-voss", "2026-12-24T11:59:59+01:00", False, "inside_office_hours", "inside_office_hours"),
        ("vest-voss", "2026-12-25T10:00:00+01:00", True, None, "public_holiday"),
        ("vest-voss", "2026-11-28T10:00:00+01:00", True, None, "closed_weekday"),
        ("vest-bergen", "2026-11-24T12:00:00+01:00", True, None, "always_permitted"),
        ("nord-tromso", "2026-11-24T03:00:00+01:00", False, "never_permitted", "never_permitted"),
    ],
)
def test_explain_answers_from_a_file_with_nothing_running(
    office: str, at: str, allowed: bool, code: str | None, rule: str
) -> None:
    answer = explain("--office", office, "--at", at)
    assert (answer["allowed"], answer["code"], answer["decision"]["rule"]) == (allowed, code, rule)


def test_explain_asks_about_a_right_and_knows_whom_it_does_not_know() -> None:
    at = ("--at", "2026-11-24T12:00:00+01:00")
    assert explain("--office", "vest-bergen", *at, "--right", "may_assign_to_others")["allowed"]
    lacking = explain("--office", "vest-bergen", *at, "--right", "may_define_claim_number")
    assert lacking["code"] == "may_not_define_claim_number"
    assert explain("--office", "nowhere", *at) == {"allowed": False, "code": "unknown_office", "decision": None}


def test_explain_says_what_is_wrong_with_a_time() -> None:
    done = claimbus("explain", "--insurer", "i", "--office", "o", "--at", "noon", "--directory", DIRECTORY)
    assert done.returncode == 2
    assert "noon" in done.stderr
    for year in ("9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z"):
        done = claimbus("explain", "--insurer", "i", "--office", "o", "--at", year, "--directory", DIRECTORY)
        assert done.returncode == 2
        assert "is not in the years 1970 to 9998" in " ".join(done.stderr.replace("│", " ").split())


def test_explain_names_a_time_that_does_not_exist_and_says_which_of_two_it_means() -> None:
    words = ("explain", "--insurer", "fjord-forsikring", "--office", "vest-voss", "--directory", DIRECTORY)
    skipped = claimbus(*words, "--at", "2027-03-28T02:30")
    assert skipped.returncode == 2
    assert (
        "02:30 on 2027-03-28 does not exist in Europe/Oslo: the clocks go from 02:00 to 03:00. "
        "The nearest times are 01:59, at +01:00, and 03:00, at +02:00"
    ) in " ".join(skipped.stderr.replace("│", " ").split())
    twice = claimbus(*words, "--at", "2027-10-31T02:30")
    assert "02:30 comes twice on 2027-10-31 in Europe/Oslo" in " ".join(twice.stdout.split())
    first = explain("--office", "vest-voss", "--at", "2027-10-31T02:30")
    assert first["decision"]["local_time"] == "2027-10-31T02:30:00.000+02:00[Europe/Oslo]"
    second = explain("--office", "vest-voss", "--at", first["note"].rsplit(maxsplit=1)[1])
    assert second["decision"]["local_time"] == "2027-10-31T02:30:00.000+01:00[Europe/Oslo]"
    assert "note" not in second


def test_explain_answers_from_the_bus_like_the_service(world: World, file: Path) -> None:
    (outcome,) = world.partner.ask(world.creation(office=world.second_office))
    words = ["--insurer", world.insurer_id, "--office", world.second_office, "--at", outcome.body["requested_at"]]
    answer = as_json(claimbus("explain", *words, "--json", "--connection-file", file))
    assert answer["decision"] == outcome.body["decision"]
    assert answer["allowed"] is outcome.accepted


def test_apply_does_what_is_missing_and_the_second_time_nothing(file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "directory.yaml"
    directory.write_text(DIRECTORY.read_text())
    first = as_json(claimbus("apply", directory, "--json", "--connection-file", file))
    assert first["provisioned"] == ["fjord-forsikring", "vest-skadeservice", "nord-ror"]
    assert "registered the office vest-bergen of vest-skadeservice" in first["done"]
    again = as_json(claimbus("apply", directory, "--json", "--connection-file", file))
    assert again == {"provisioned": [], "done": [], "left_out": []}
    directory.write_text(directory.read_text().replace("creation: never", "creation: always"))
    changed = as_json(claimbus("apply", directory, "--json", "--connection-file", file))
    assert changed["done"] == ["permitted nord-tromso to create for fjord-forsikring: always"]
    assert "nord-ror" in Connection.model_validate_json(file.read_text()).companies


def test_what_is_null_in_the_file_is_taken_away(world: World, file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "directory.yaml"
    content = world.directory()
    for subdivision in ("BY", None):
        content["companies"][0]["settings"] = {"country": "DE", "subdivision": subdivision}
        directory.write_text(json.dumps(content))
        assert as_json(claimbus("apply", directory, "--json", "--connection-file", file))["done"] == [
            f"set the settings of {world.insurer_id}: country, subdivision"
        ]
    again = as_json(claimbus("apply", directory, "--json", "--connection-file", file))
    assert again == {"provisioned": [], "done": [], "left_out": []}


def test_apply_leaves_a_password_that_it_does_not_know_in_use(world: World, file: Path, tmp_path: Path) -> None:
    connection = Connection.model_validate_json(file.read_text())
    poor = tmp_path / "operator-only.json"
    operator = {OPERATOR: connection.companies[OPERATOR]}
    connection.model_copy(update={"companies": operator, "companies_file": None}).save(poor)
    directory = tmp_path / "directory.yaml"
    directory.write_text(json.dumps(world.directory()))
    same = as_json(claimbus("apply", directory, "--json", "--connection-file", poor))
    assert same == {"provisioned": [], "done": [], "left_out": []}
    with Company(world.connection, world.partner_id) as still:
        (outcome,) = still.ask(world.creation())
    assert outcome.accepted
    directory.write_text(directory.read_text().replace('"always"', '"never"'))
    changed = claimbus("apply", directory, "--connection-file", poor)
    assert changed.returncode == 1
    assert f"no password of {world.insurer_id}" in changed.stderr


def test_apply_refuses_a_wrong_file_as_a_whole_with_line_and_reason(world: World, file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "companies:\n"
        "  - {id: ok-forsikring, name: OK, kind: insurer}\n"
        "  - id: Not A Slug\n"
        "    name: X\n"
        "    kind: broker\n"
    )
    done = claimbus("apply", wrong, "--connection-file", file)
    assert done.returncode == 1
    assert re.search(r"wrong\.yaml:3: companies\.1\.id: ", done.stderr)
    assert re.search(r"wrong\.yaml:5: companies\.1\.kind: ", done.stderr)
    creation = ["--insurer", "ok-forsikring", "--office", world.office]
    unknown = claimbus("explain", *creation, "--json", "--connection-file", file)
    assert as_json(unknown)["code"] == "unknown_insurer"


def test_submit_prints_the_outcomes_of_a_files_requests(world: World, file: Path, tmp_path: Path) -> None:
    requests = tmp_path / "requests.json"
    good, bad = world.creation(), {"type": "create-temporary-claim", "id": "bad-1", "body": {}}
    requests.write_text(json.dumps([{"type": good.name, "id": "good-1", "body": good.body}, bad]))
    outcomes = as_json(claimbus("submit", requests, "--as", world.partner_id, "--json", "--connection-file", file))
    assert [(o["request_id"], o["type"]) for o in outcomes] == [
        ("good-1", "request-accepted"),
        ("bad-1", "request-refused"),
    ]
    submitted = claimbus("submit", requests, "--as", world.partner_id, "--connection-file", file)
    assert "good-1: accepted" in submitted.stdout
    assert "policyholder: Field required" in submitted.stdout


def test_status_tells_lag_health_and_waiting_claims(world: World, file: Path) -> None:
    world.create()
    status = as_json(claimbus("status", "--json", "--connection-file", file))
    assert status["healthy"] is True
    assert {s["service"]: s["health"] for s in status["services"]} == {service: ["ready"] for service in REGISTRY}
    assert all(s["lag"] is not None for s in status["services"])
    assert status["temporary_claims"][world.insurer_id] == 1


def test_status_tells_what_a_company_has_not_read_in_each_of_its_groups(world: World, file: Path) -> None:
    world.create()
    world.create()
    world.settle()
    group, topic = f"{world.partner_id}.system", EVENTS.of(world.partner_id)
    partitions = {
        TopicPartition(topic, number): OffsetSpec.latest()  # type: ignore[no-untyped-call]
        for number in range(EVENTS.partitions)
    }
    admin = AdminClient(world.connection.client())
    found = admin.list_offsets(partitions)
    ends = {partition.partition: future.result().offset for partition, future in found.items()}
    read = next(number for number, end in ends.items() if end)
    consumer = Consumer(world.connection.client(world.partner_id) | {"group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, read, 1)], asynchronous=False)
    consumer.close()
    companies = as_json(claimbus("status", "--companies", "--json", "--connection-file", file))["companies"]
    (partners,) = (each for each in companies if each["company"] == world.partner_id)
    assert (partners["group"], partners["lag"]) == (group, sum(ends.values()) - 1)
    assert partners["lag_seconds"] > 0
    (others,) = (each for each in companies if each["company"] == world.other_id)
    assert others == {"company": world.other_id, "group": None, "lag": 0, "lag_seconds": 0}


def test_status_tells_how_old_the_oldest_unread_message_is_and_is_1_past_a_limit(
    stack: Stack, world: World, file: Path
) -> None:
    (linking,) = stack.of("linking")
    linking.stop()
    try:
        created = world.create()
        world.event(world.insurer, "temporary-claim-created", created.body["claim_id"])
        late = claimbus("status", "--json", "--late-after", "0", "--connection-file", file)
        lag = {s["service"]: s for s in as_json(late)["services"]}["linking"]
        assert lag["lag"] >= 1
        assert lag["lag_seconds"] > 0
        assert late.returncode == 1
    finally:
        linking.start()
        stack.wait_until_ready()
    assert claimbus("status", "--connection-file", file).returncode == 0


def test_status_says_so_when_a_service_does_not_answer(stack: Stack, file: Path) -> None:
    (delivery,) = stack.of("delivery")
    delivery.stop()
    try:
        done = claimbus("status", "--json", "--connection-file", file)
        assert done.returncode == 1
        assert as_json(done)["healthy"] is False
    finally:
        delivery.start()


def lag_of_claims(file: Path) -> int:
    services = as_json(claimbus("status", "--json", "--connection-file", file))["services"]
    (lag,) = (service["lag"] for service in services if service["service"] == "claims")
    return int(lag)


def paused(file: Path) -> list[str]:
    found: list[str] = as_json(claimbus("status", "--json", "--connection-file", file))["paused"]
    return found


def test_a_company_that_is_paused_can_send_nothing_until_it_is_resumed(world: World, file: Path) -> None:
    assert world.create().accepted
    paused_now = claimbus("pause", world.partner_id, "--connection-file", file)
    assert paused_now.stdout == (
        f"{world.partner_id} can send nothing more, until `claimbus resume {world.partner_id}`\n"
    )
    assert world.partner_id in paused(file)
    with pytest.raises(KafkaException, match="authorization"):
        world.partner.send([world.creation()])
    assert world.other.ask(world.creation(office=world.other_office))[0].body["code"] == "never_permitted"
    resumed = claimbus("resume", world.partner_id, "--connection-file", file)
    assert resumed.stdout == f"{world.partner_id} can send again\n"
    again = claimbus("resume", world.partner_id, "--connection-file", file)
    assert again.stdout == f"{world.partner_id} was not paused\n"
    assert world.partner_id not in paused(file)
    assert world.create().accepted


def test_a_service_that_is_paused_takes_on_what_has_come_when_it_is_resumed(
    stack: Stack, world: World, file: Path
) -> None:
    assert world.create().accepted
    assert claimbus("pause", "claims", "--connection-file", file).returncode == 0
    assert paused(file) == ["claims"]
    (claims,) = stack.of("claims")
    wait_until(lambda: not claims.is_ready(), what="claims to notice")
    request = world.creation()
    world.partner.send([request])
    wait_until(lambda: lag_of_claims(file) > 0, what="permissions to pass it on")
    world.partner.read_to_end()
    assert request.id not in {message.body.get("request_id") for message in world.partner.received}
    assert claimbus("resume", "claims", "--connection-file", file).stdout == "claims takes on what comes again\n"
    (outcome,) = world.partner.ask(request)
    assert outcome.accepted
    stack.wait_until_ready()
    assert paused(file) == []


def test_nobody_is_paused_who_is_not_there(file: Path) -> None:
    assert "there is no company nobody" in claimbus("pause", "nobody", "--connection-file", file).stderr
    assert "the operator cannot" in claimbus("pause", OPERATOR, "--connection-file", file).stderr


def test_a_quota_is_shown_set_and_set_back(world: World, file: Path) -> None:
    def run(*words: str) -> str:
        done = claimbus("quota", world.partner_id, *words, "--connection-file", file)
        assert done.returncode == 0, done.stderr
        return done.stdout

    usual = f"{world.partner_id} may send 8 MiB/s and receive 32 MiB/s\n"
    assert run() == usual
    assert run("--produce", "0.5") == f"{world.partner_id} may send 0.5 MiB/s and receive 32 MiB/s\n"
    assert run("--no-limit", "--for-hours", "0.0001") == run()
    assert run("--no-limit") == f"{world.partner_id} may send as much as it likes and receive as much as it likes\n"
    assert run("--usual") == usual
    stranger = claimbus("quota", "nobody", "--connection-file", file)
    assert (stranger.returncode, stranger.stderr) == (1, "the connection knows no company nobody\n")


def test_status_is_watched_until_ctrl_c(file: Path) -> None:
    ours = signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell runs behind it ignores Ctrl-C, with its children
    with subprocess.Popen(
        [sys.executable, "-m", "operations", "status", "--watch", "--connection-file", file], stdout=subprocess.PIPE
    ) as watching:
        signal.signal(signal.SIGINT, ours)
        assert watching.stdout is not None
        wait_until(lambda: b"delivery" in watching.stdout.readline(), what="a first look")  # type: ignore[union-attr]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130


def test_a_storm_is_accounted_for(world: World, file: Path) -> None:
    words = ["--claims", "300", "--office", world.office, "--insurer", world.insurer_id, "--json"]
    account = as_json(claimbus("storm", *words, "--connection-file", file))
    assert (account["sent"], account["accepted"], account["lost"], account["duplicated"]) == (300, 300, 0, 0)
    assert account["latency_ms"]["p50"] <= account["latency_ms"]["p99"]


def test_dead_letters_are_listed_shown_replayed_and_discarded(world: World, file: Path) -> None:
    def letters() -> dict[str, dict[str, Any]]:
        listed = as_json(claimbus("dead-letters", "list", "--json", "--connection-file", file))
        return {letter["id"]: letter for letter in listed if f".{world.partner_id}/" in letter["id"]}

    for text in (b"first", b"second"):
        world.partner.send([NewRequest("create-temporary-claim", text, id="not an id", key="k")])
    wait_until(lambda: len(letters()) == 2, what="two dead letters")
    first, second = letters()
    shown = as_json(claimbus("dead-letters", "show", first, "--json", "--connection-file", file))
    assert shown[0]["value"] == "first"
    assert ["ce_id", "not an id"] in shown[0]["headers"]
    assert claimbus("dead-letters", "discard", first, "--connection-file", file).returncode == 0
    assert list(letters()) == [second]
    assert claimbus("dead-letters", "replay", second, "--connection-file", file).returncode == 0
    wait_until(lambda: set(letters()) not in ({second}, set()), what="the replayed one to come back")
    (third,) = letters()
    assert third not in (first, second)
    done = claimbus("dead-letters", "discard", "nowhere/0/0", "--connection-file", file)
    assert done.returncode == 1
    assert "no open dead letter nowhere/0/0" in done.stderr


def test_dead_letters_are_counted_chosen_and_put_right(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> Any:
        return as_json(claimbus("dead-letters", *words, "--of", world.partner_id, "--json", "--connection-file", file))

    request = new_request("create-temporary-claim")
    world.partner.send([NewRequest("create-temporary-claim", request.body, id="an id") for _ in range(3)])
    wait_until(lambda: len(run("list")) == 3, what="three dead letters")
    (counted,) = run("list", "--counts")
    assert counted == {"company": world.partner_id, "service": "permissions", "reason": counted["reason"], "letters": 3}
    assert run("list", "--because", "ITS CE_ID") == run("list")
    assert run("list", "--by", "claims") == run("list", "--because", "something else") == []
    letter, *others = [each["id"] for each in run("list")]
    assert run("discard", "--dry-run") == {"would be discarded": [letter, *others]}
    monkeypatch.setenv("VISUAL", "true")
    unchanged = claimbus("dead-letters", "edit", letter, "--connection-file", file)
    assert (unchanged.returncode, unchanged.stderr) == (1, "it was not changed, so it is not sent\n")
    monkeypatch.setenv("VISUAL", "sed -i s/headers/heads/")
    wrong = claimbus("dead-letters", "edit", letter, "--connection-file", file)
    assert (wrong.returncode, wrong.stderr) == (1, "what was written is not sent: headers: Field required\n")
    monkeypatch.setenv("VISUAL", "sed -i s/an.id/put-right/")
    assert claimbus("dead-letters", "edit", letter, "--connection-file", file).returncode == 0
    world.partner.wait_until(
        lambda messages: any(m.is_outcome and m.body["request_id"] == "put-right" for m in messages), what="an outcome"
    )
    assert [each["id"] for each in run("list")] == others
    assert run("discard") == {"discarded": others}
    assert run("list") == []
    for words in ((), (letter, "--of", world.partner_id)):
        done = claimbus("dead-letters", "replay", *words, "--connection-file", file)
        assert (done.returncode, done.stderr.startswith("say which letters")) == (1, True)


def test_topics_prints_the_table_as_text_json_and_kubernetes_resources() -> None:
    assert "claim-commands" in claimbus("topics").stdout
    table = as_json(claimbus("topics", "--json", "--company", "vest"))
    assert {
        "user": "vest",
        "operation": "write",
        "resource": "topic",
        "name": "requests.vest",
        "prefix": False,
        "allowed": True,
    } in table["acls"]
    resources = claimbus("topics", "--format", "kubernetes", "--company", "vest").stdout
    shared_by_all = [topic for topic in TOPICS if not topic.per_company]
    assert resources.count("kind: KafkaTopic") == len(shared_by_all) + 2 * 2
    assert "producerByteRate" in resources


def test_a_wrong_password_is_told_as_such(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.records._TIMEOUT_S", 3.0)
    guess = CompanyAccess(password="a guess", token="")
    wrong = connection.model_copy(update={"companies": {OPERATOR: guess}})
    with pytest.raises(Unreachable, match=r"[Aa]uthentication failed"):
        read_all(wrong, DEAD_LETTERS.name)


def test_migrate_brings_databases_to_the_version_that_services_need(stack: Stack, file: Path, tmp_path: Path) -> None:
    already = as_json(claimbus("migrate", "--json", "--connection-file", file))
    assert list(already) == list(WITH_DATABASE)
    assert all(done["before"] == done["version"] for done in already.values())
    assert all_are_new_enough(stack.connection.databases)
    stack.postgres.create_database("another", owner="another", password="a word")
    assert not all_are_new_enough({"claims": stack.postgres.url(*ANOTHER)})
    of_another = stack.connection.model_copy(update={"databases": {"claims": stack.postgres.url(*ANOTHER)}})
    of_another.save(tmp_path / "another.json")
    done = claimbus("migrate", "claims", "--connection-file", tmp_path / "another.json")
    assert done.stdout == f"the database of claims is at version {already['claims']['version']} now\n"
    assert all_are_new_enough({"claims": stack.postgres.url(*ANOTHER)})
    missing = claimbus("migrate", "--connection-file", tmp_path / "another.json")
    assert missing.returncode == 1
    assert "where the database of reporting is (databases.reporting)" in missing.stderr
    unknown = claimbus("migrate", "delivery", "--connection-file", file)
    assert unknown.returncode == 2
    assert "'delivery' is not one of claims, reporting," in unknown.stderr


def test_without_a_connection_a_command_says_what_to_do(tmp_path: Path) -> None:
    done = claimbus("status", "--connection-file", tmp_path / "none.json")
    assert done.returncode == 1
    assert "is `claimbus up` running?" in done.stderr


@pytest.mark.promise("`claimbus up` leaves no process behind.", about="running")
def test_up_is_ready_when_it_has_written_the_connection_file_and_leaves_no_child(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "connection"
    place.mkdir()
    with _up(folder / "up", place / "up.json", "--scale", "claims=2") as (process, file):
        connection = Connection.model_validate_json(file.read_text())
        assert file.stat().st_mode & 0o077 == 0
        assert len(connection.processes["claims"]) == 2
        pids = [pid for group in connection.processes.values() for pid in group]
        place.rename(tmp_path / "away")
        place.touch()  # as when its disk is full, nothing can be written there
        os.kill(connection.processes["delivery"][0], signal.SIGKILL)
        said = folder / "up.log"
        wait_until(lambda: "trying again" in said.read_text(), what="it to fail to write its file")
        place.unlink()
        (tmp_path / "away").rename(place)

        def restarted() -> bool:
            now = Connection.model_validate_json(file.read_text()).processes["delivery"]
            return bool(now) and now != connection.processes["delivery"]

        wait_until(restarted, what="delivery to be started again")
        assert claimbus("apply", DIRECTORY, "--connection-file", file).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not file.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with _up(folder / "up", tmp_path / "up.json") as (_, file):  # what was there is there again, without asking anew
        kept = Connection.model_validate_json(file.read_text())
        assert "vest-skadeservice" in kept.companies
        assert kept.bootstrap_servers == connection.bootstrap_servers
        account = as_json(claimbus("storm", "--claims", "5", "--json", "--connection-file", file))
        assert account["accepted"] == 5


@pytest.mark.promise("The services stay within their memory.", about="running")
def test_all_services_together_stay_under_their_memory(stack: Stack, connection: Connection) -> None:
    resident_kib = 0
    for instance in stack.instances:
        status = Path(f"/proc/{instance.pid}/status").read_text()
        resident_kib += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
    assert resident_kib < 650 * 1024


class _up:  # noqa: N801 - reads as the command does
    """`claimbus up` in the background, ended by its own process id."""

    def __init__(self, data: Path, file: Path, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("claimbus")), "up", "--data", str(data)]
        self._command = [*command, "--connection-file", str(file), "--portal-port", str(free_port()), *words]
        self._file = file
        self._said = data.with_suffix(".log")

    def __enter__(self) -> tuple[subprocess.Popen[str], Path]:
        with self._said.open("w") as said:
            self._process = subprocess.Popen(self._command, stderr=said, text=True)
        wait_until(
            lambda: self._file.exists() or self._process.poll() is not None,
            what="`claimbus up` to be ready",
            timeout_s=300,
        )
        assert self._process.poll() is None, self._said.read_text()
        return self._process, self._file

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=60)
