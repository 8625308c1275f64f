"""The compose project as an operator uses it: up, apply, storm, scale, down; and who is kept out."""

import json
import os
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from operations.bus import Company, NewRequest
from operations.connection import CompanyAccess, Connection
from operations.embedded import free_port
from operations.services import REGISTRY, WITH_DATABASE
from shared.contract.topics import OPERATOR, ReadModel
from shared.storage.migrations import needed_version
from tests.containers.engine import missing
from tests.world import wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Docker engine: {missing()}")

ROOT = Path(__file__).parents[2]
SCALE = dict.fromkeys(REGISTRY, 1) | {"claims": 3}
PASSWORDS = [
    name.upper() for name in ("operator", "postgres", *REGISTRY, *(f"{service}_database" for service in WITH_DATABASE))
]
CLAIMS = 200
END = "----"
ROOTS_AT_MOST_S = 30
CONFINED = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
try:
    open("/opt/claimbus/written", "w")
    writes = True
except OSError:
    writes = False
print(json.dumps({"uid": os.getuid(), "capabilities": int(status["CapBnd"], 16), "writes": writes,
                  "new_privileges": status["NoNewPrivs"].strip() != "1"}))
"""
SUBMITTED = '{"type": "create-temporary-claim", "id": "compose-1", "body": {}}'
CONTROLLER = "import socket; socket.create_connection(('kafka', 9093), 5)"
ASK_CONTROLLER = """
cat >/tmp/client.properties <<<"$CLIENT"
/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-controller 127.0.0.1:9093 --command-config /tmp/client.properties \\
  describe --status
"""
ANONYMOUS = "default.api.timeout.ms=3000\nrequest.timeout.ms=3000\n"
ITSELF = """
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="kafka" password="%s";
"""


class Project:
    """A compose project of its own, with passwords, a port and an image of its own."""

    def __init__(self) -> None:
        self.name = f"claimbus-test-{uuid.uuid4().hex[:8]}"
        self.image = f"claimbus:{self.name}"
        self.passwords = {name: secrets.token_hex(16) for name in PASSWORDS}
        self.bootstrap_servers = f"127.0.0.1:{free_port()}"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("CLAIMBUS_")}
        self._environment |= {f"CLAIMBUS_{name}_PASSWORD": password for name, password in self.passwords.items()}
        self._environment["CLAIMBUS_KAFKA_PORT"] = self.bootstrap_servers.partition(":")[2]
        self._environment["CLAIMBUS_PORTAL_PORT"] = str(free_port())
        self._environment["CLAIMBUS_MEDIA_SECRET"] = secrets.token_hex(16)
        self._environment["CLAIMBUS_IMAGE"] = self.image

    def compose(self, *words: str) -> str:
        command = ["docker", "compose", "--project-name", self.name, "--project-directory", str(ROOT)]
        return _run([*command, "--env-file", os.devnull, *words], self._environment)

    def up(self) -> None:
        scale = [f"--scale={service}={count}" for service, count in SCALE.items()]
        self.compose("up", "--detach", "--wait", "--wait-timeout=480", *scale)

    def command(self, *words: str) -> str:
        return self.compose("run", "--rm", "--no-TTY", "claimbus", *words)

    def commands(self, *commands: str, ends_with: int = 0) -> list[str]:
        """Run several lines in one container, which all end with this status; return what each has printed."""
        script = "".join(f"{each}\ntest $? = {ends_with} || exit 9; echo {END}\n" for each in commands)
        done = self.compose("run", "--rm", "--no-TTY", "--entrypoint=bash", "claimbus", "-c", script)
        *outputs, rest = done.split(f"{END}\n")
        assert (len(outputs), rest) == (len(commands), "")
        return outputs

    def containers(self) -> list[str]:
        return self.compose("ps", "--all", "--quiet").split()

    def connection(self) -> Connection:
        """How a program on the host reaches the bus, with the passwords that `claimbus apply` has made."""
        kept = self.compose("run", "--rm", "--no-TTY", "--entrypoint=cat", "claimbus", "connection.json")
        companies = Connection.model_validate_json(kept).companies
        companies[OPERATOR] = CompanyAccess(password=self.passwords["OPERATOR"], token="")
        return Connection(bootstrap_servers=self.bootstrap_servers, companies=companies)

    def down(self) -> None:
        """Remove everything, and make sure of it."""
        volumes = {mount["Name"] for c in inspect(*self.containers()) for mount in c["Mounts"] if "Name" in mount}
        self.compose("--profile=*", "down", "--volumes", "--remove-orphans")
        _run(["docker", "image", "rm", self.image])
        label = f"--filter=label=com.docker.compose.project={self.name}"
        left = [_run(["docker", kind, "ls", "--quiet", label]) for kind in ("volume", "network")]
        left.append(_run(["docker", "container", "ls", "--all", "--quiet", label]))
        assert "".join(left) == ""
        assert not volumes & set(_run(["docker", "volume", "ls", "--quiet"]).split())


def inspect(*containers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_run(["docker", "inspect", *containers])) if containers else []
    return found


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    project = Project()
    try:
        project.compose("build")
        try:
            project.up()
        except AssertionError as failed:
            failed.add_note(project.compose("logs", "--no-color", "--tail=50"))
            raise
        project.command("apply", "/directory.yaml")
        yield project
    finally:
        project.down()


@pytest.fixture(scope="module")
def connection(project: Project) -> Connection:
    return project.connection()


@pytest.fixture(scope="module")
def account(project: Project) -> dict[str, Any]:
    """What a storm has come to: all the claims that there are."""
    account: dict[str, Any] = json.loads(project.command("storm", f"--claims={CLAIMS}", "--json"))
    return account


@pytest.mark.promise(
    "In containers, a storm over three instances of `claims` loses nothing and doubles nothing.", about="running"
)
def test_a_storm_over_three_instances_of_claims_loses_nothing_and_doubles_nothing(
    project: Project, account: dict[str, Any]
) -> None:
    assert account["sent"] == account["accepted"] == CLAIMS
    assert account["lost"] == account["duplicated"] == 0
    assert account["refused"] == {}
    status = json.loads(project.command("status", "--json"))
    assert status["healthy"]
    assert status["dead_letters"] == 0
    assert status["temporary_claims"] == {"fjord-forsikring": CLAIMS}
    assert {service["service"]: service["health"] for service in status["services"]} == {
        service: ["ready"] for service in REGISTRY
    }


def wait_until_healthy(project: Project) -> None:
    """Wait until every service is: on a busy machine a look at its health may have taken too long."""

    def are_healthy() -> bool:
        instances = inspect(*project.compose("ps", "--quiet", *SCALE).split())
        return all(instance["State"]["Health"]["Status"] == "healthy" for instance in instances)

    wait_until(are_healthy, what="all services to be healthy", timeout_s=240, look_every_s=1)


def test_each_service_has_as_many_healthy_instances_as_it_was_scaled_to(project: Project) -> None:
    wait_until_healthy(project)
    for service, count in SCALE.items():
        assert len(project.compose("ps", "--quiet", service).split()) == count


def test_up_again_restarts_nothing_and_what_was_applied_still_holds(project: Project) -> None:
    wait_until_healthy(project)
    before = set(project.containers())
    started = [container["State"]["StartedAt"] for container in inspect(*project.compose("ps", "--quiet").split())]
    project.up()
    assert set(project.containers()) == before
    after = [container["State"]["StartedAt"] for container in inspect(*project.compose("ps", "--quiet").split())]
    assert after == started
    assert project.command("apply", "/directory.yaml").strip() == "everything in the file holds already"


def test_no_process_in_any_container_is_roots(project: Project) -> None:
    running = project.compose("ps", "--quiet").split()
    assert len(running) == sum(SCALE.values()) + 2
    for container in running:
        assert not staying_roots(container)


def staying_roots(container: str) -> list[str]:
    """What of a container's processes is root's and stays so, each with its ids and its command.

    One that is only being put into the container, for a health check, is root's until a moment later it is the
    container's user: how much later is the machine's matter.
    """
    found = roots_of(container)
    deadline = time.monotonic() + ROOTS_AT_MOST_S
    while found and time.monotonic() < deadline:
        time.sleep(0.1)
        now = roots_of(container)
        found = {process: now[process] for process in found.keys() & now.keys()}
    return list(found.values())


def roots_of(container: str) -> dict[str, str]:
    """The processes of a container that are root's at this moment, by id."""
    _, *processes = _run(["docker", "top", container, "-eo", "uid,pid,ppid,args"]).splitlines()
    assert processes
    return {line.split()[1]: line for line in processes if line.split()[0] == "0"}


@pytest.mark.usefixtures("account")
def test_every_command_works_in_compose(project: Project) -> None:
    office, insurer = "--office=vest-bergen", "--insurer=fjord-forsikring"
    report, topics, explained, dead_letters, submitted, migrated, *rebuilt = project.commands(
        f"claimbus report {insurer} --format=csv",
        "claimbus topics",
        f"claimbus explain {insurer} {office} --json",
        "claimbus dead-letters list --json",
        f"echo '{SUBMITTED}' >/tmp/r.json && claimbus submit /tmp/r.json --as vest-skadeservice",
        "claimbus migrate --json",
        *(f"claimbus rebuild {read_model} --json" for read_model in ReadModel),
    )
    assert "created" in report
    assert "claim-commands" in topics
    assert json.loads(explained)["allowed"] is True
    assert json.loads(dead_letters) == []
    assert "refused, invalid_request" in submitted
    assert {service: done["before"] for service, done in json.loads(migrated).items()} == {
        service: needed_version(REGISTRY[service].package) for service in WITH_DATABASE
    }
    assert [json.loads(done)["claims"] for done in rebuilt] == [CLAIMS for _ in ReadModel]
    unknown, no_letter = project.commands(
        f"claimbus suggest 0 {insurer} 2>&1", "claimbus dead-letters show a/0/0 2>&1", ends_with=1
    )
    assert "suggestions knows no claim 0" in unknown
    assert "there is no open dead letter a/0/0" in no_letter


def test_a_service_can_write_nothing_and_has_no_capabilities(project: Project) -> None:
    for service, count in SCALE.items():
        for number in range(1, count + 1):
            output = project.compose("exec", "--no-TTY", f"--index={number}", service, "python", "-c", CONFINED)
            assert json.loads(output) == {"uid": 10001, "capabilities": 0, "writes": False, "new_privileges": False}


def test_a_client_without_a_password_or_with_a_wrong_one_is_refused(connection: Connection) -> None:
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": connection.bootstrap_servers, "log_level": 0}).list_topics(timeout=3)
    errors: list[KafkaError] = []
    client: dict[str, Any] = {**connection.client(), "sasl.password": "dev", "error_cb": errors.append}
    guess = AdminClient(client)
    with pytest.raises(KafkaException):
        guess.list_topics(timeout=3)
    guess.poll(0)
    assert KafkaError._AUTHENTICATION in [error.code() for error in errors]
    assert AdminClient(connection.client()).list_topics(timeout=10).topics


def test_a_company_is_refused_on_another_companys_topics(connection: Connection) -> None:
    with Company(connection, "nord-ror") as stranger:
        assert stranger.error_reading("events.nord-ror") is None
        assert stranger.error_reading("events.vest-skadeservice") == "TOPIC_AUTHORIZATION_FAILED"
        assert stranger.error_reading("claim-events") == "TOPIC_AUTHORIZATION_FAILED"
        forged = NewRequest("create-temporary-claim", {"office": "vest-bergen", "insurer": "fjord-forsikring"})
        with pytest.raises(KafkaException) as refused:
            stranger.send([forged], topic="requests.vest-skadeservice")
    assert refused.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def ask_controller(project: Project, client: str) -> str:
    return project.compose("exec", "--no-TTY", f"--env=CLIENT={client}", "kafka", "bash", "-c", ASK_CONTROLLER)


def test_kafkas_controller_is_out_of_reach_and_closed_to_the_anonymous(project: Project) -> None:
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        project.compose("exec", "--no-TTY", "delivery", "python", "-c", CONTROLLER)
    own = project.compose("exec", "--no-TTY", "kafka", "cat", "/var/lib/kafka/data/password").strip()
    assert "LeaderId" in ask_controller(project, ITSELF % own)
    with pytest.raises(AssertionError, match="TimeoutException"):
        ask_controller(project, ANONYMOUS)


def test_the_claims_database_is_for_the_claims_service_alone(project: Project) -> None:
    psql = ["exec", "--no-TTY", "postgres", "psql", "--no-psqlrc", "--host=127.0.0.1"]
    project.compose(*psql, "--username=postgres", "--command=create role stranger login")
    with pytest.raises(AssertionError, match='permission denied for database "claims"'):
        project.compose(*psql, "--username=stranger", "--dbname=claims", "--command=select 1")
    with pytest.raises(AssertionError, match='permission denied for database "postgres"'):
        project.compose(*psql, "--username=claims", "--dbname=postgres", "--command=select 1")


def test_what_needs_the_embedded_servers_says_what_to_install(project: Project) -> None:
    for output in project.commands("claimbus up --data=/tmp/data 2>&1", "claimbus demo 2>&1", ends_with=1):
        assert "install claimbus[embedded]" in output
