"""How services, the command and companies log in to brokers, and what is replaced while they run, on a real broker."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AclBindingFilter, AdminClient

from operations.connection import CompanyAccess, Connection, read_connection
from operations.embedded import EmbeddedKafka, free_port
from operations.passwords import mechanisms_of
from operations.provisioning import Part, _described, missing_topics, provision_companies, provision_services
from operations.quotas import NO_LIMIT, USUAL, quota_of
from shared.contract.envelope import Outgoing
from shared.contract.topics import (
    CLAIM_EVENTS,
    DIRECTORY,
    EVENTS,
    OPERATOR,
    REQUESTS,
    Acl,
    acls_of_company,
    acls_of_service,
)
from shared.messaging.publisher import Publisher
from shared.runtime.settings import ServiceSettings
from tests.builders.certificates import Authority
from tests.builders.token_endpoint import AUDIENCE, TokenEndpoint
from tests.world import claimbus, wait_until

COMPANY, SERVICE, ROTATED = "vest", "claims", "permissions"
PASSWORDS = {user: f"the password of {user}" for user in (OPERATOR, SERVICE, ROTATED, COMPANY)}
WAYS = ("SCRAM-SHA-512", "PLAIN", "OAUTHBEARER", "certificate")
_OAUTH = "org.apache.kafka.common.security.oauthbearer"


class ManyWays(EmbeddedKafka):
    """The embedded broker with a listener for each way of logging in, and one of SCRAM-SHA-512 alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, users={OPERATOR: PASSWORDS[OPERATOR]})
        folder.mkdir()
        self.folder = folder
        self.ports = {name: free_port() for name in ("PLAIN", "OAUTHBEARER", "CERTIFICATE", "SINGLE")}
        self.authority, self.tokens = Authority(), TokenEndpoint(PASSWORDS)
        self.authority.write(folder / "ca.pem")
        self.authority.write_server(folder / "server.pem")
        self.tokens.write_keys(folder / "keys.json")

    def _environment(self) -> dict[str, str]:
        keys = self.folder / "keys.json"
        allowed = {"urls": f"file://{keys}", "files": keys}
        options = [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.{of}={what}" for of, what in allowed.items()]
        return super()._environment() | {"JDK_JAVA_OPTIONS": " ".join(options)}

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        own = "".join(f",{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        protocols = "".join(f",{name}:{'SSL' if name == 'CERTIFICATE' else 'SASL_PLAINTEXT'}" for name in self.ports)
        users = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
        single = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return settings | {
            "listeners": settings["listeners"] + own,
            "advertised.listeners": settings["advertised.listeners"] + own,
            "listener.security.protocol.map": settings["listener.security.protocol.map"] + protocols,
            "listener.name.single.scram-sha-512.sasl.jaas.config": single,
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            ),
            "listener.name.plain.plain.connections.max.reauth.ms": "1000",
            "listener.name.oauthbearer.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauthbearer.oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
            "listener.name.oauthbearer.oauthbearer.sasl.server.callback.handler.class": (
                f"{_OAUTH}.OAuthBearerValidatorCallbackHandler"
            ),
            "sasl.oauthbearer.jwks.endpoint.url": f"file://{self.folder / 'keys.json'}",
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "listener.name.certificate.ssl.client.auth": "required",
            "listener.name.certificate.ssl.keystore.type": "PEM",
            "listener.name.certificate.ssl.keystore.location": str(self.folder / "server.pem"),
            "listener.name.certificate.ssl.truststore.type": "PEM",
            "listener.name.certificate.ssl.truststore.location": str(self.folder / "ca.pem"),
            "listener.name.certificate.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        }

    def certificate(self, user: str) -> str:
        """The file of a user's certificate."""
        file = self.folder / f"{user}.pem"
        if not file.exists():
            self.authority.write_client(file, user)
        return str(file)

    def connection(self, way: str = "SCRAM-SHA-512") -> Connection:
        """How the command and companies connect in a way."""
        if way == "certificate":
            return Connection(
                bootstrap_servers=f"127.0.0.1:{self.ports['CERTIFICATE']}",
                security_protocol="SSL",
                ssl_ca_file=str(self.folder / "ca.pem"),
                companies={
                    user: CompanyAccess(token="", ssl_certificate_file=self.certificate(user)) for user in PASSWORDS
                },
            )
        companies = {user: CompanyAccess(password=password, token="") for user, password in PASSWORDS.items()}
        return Connection.model_validate(
            {
                "bootstrap_servers": f"127.0.0.1:{self.ports[way]}" if way in self.ports else self.bootstrap_servers,
                "sasl_mechanism": way,
                "companies": companies,
                **(
                    {"oauth_token_url": self.tokens.url, "oauth_extensions": "pool=claims"}
                    if way == "OAUTHBEARER"
                    else {}
                ),
            }
        )

    def service(self, way: str = "SCRAM-SHA-512", service: str = SERVICE, **more: object) -> ServiceSettings:
        """How a service connects in a way."""
        settings = self.connection(way).settings(service)
        return ServiceSettings.model_validate({**settings.model_dump(), "publish_timeout_s": 10, **more})


@pytest.fixture(scope="module")
def kafka(folder: Path) -> Iterator[ManyWays]:
    kafka = ManyWays(folder / "many-ways")
    try:
        kafka.start()
        connection = kafka.connection()
        provision_services(connection, {service: PASSWORDS[service] for service in (SERVICE, ROTATED)})
        provision_companies(connection, [COMPANY])
        yield kafka
    finally:
        kafka.stop()
        kafka.tokens.close()


@contextlib.asynccontextmanager
async def publishing(settings: ServiceSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings)
    try:
        yield publisher
    finally:
        await publisher.stop()


def message(topic: str = CLAIM_EVENTS.name) -> Outgoing:
    return Outgoing(topic, "a key", (), b"{}")


@pytest.mark.promise(
    "Services, the command and companies log in with SCRAM, PLAIN, tokens (OAUTHBEARER) or a certificate.",
    about="running",
)
@pytest.mark.parametrize("way", WAYS)
async def test_each_is_who_it_is_and_may_what_it_may_in_each_way_of_logging_in(kafka: ManyWays, way: str) -> None:
    connection = kafka.connection(way)
    async with publishing(kafka.service(way)) as publisher:
        await publisher.publish([message()])
        with pytest.raises(TopicAuthorizationFailedError):
            await publisher.publish([message(DIRECTORY.name)])
    topics = await asyncio.to_thread(lambda: AdminClient(connection.client()).list_topics(timeout=30).topics)
    assert {DIRECTORY.name, REQUESTS.of(OPERATOR)} <= topics.keys()  # the operator may see all
    assert await asyncio.to_thread(quota_of, connection, COMPANY) == USUAL
    errors: list[str | None] = []
    producer = Producer(connection.client(COMPANY))
    for topic in (REQUESTS.of(COMPANY), REQUESTS.of(OPERATOR)):
        try:
            producer.produce(topic, b"{}", on_delivery=lambda error, _: errors.append(error.name() if error else None))
        except KafkaException as refused:  # at once, where the client has been told of the topic by then
            errors.append(refused.args[0].name())
        await asyncio.to_thread(producer.flush, 30)
    assert errors == [None, "TOPIC_AUTHORIZATION_FAILED"]


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"])
async def test_a_wrong_password_or_secret_lets_nobody_in(kafka: ManyWays, way: str) -> None:
    async with publishing(kafka.service(way, password="a guess")) as publisher:
        with pytest.raises(KafkaError):
            await publisher.publish([message()])


async def test_a_certificate_of_another_authority_lets_nobody_in(kafka: ManyWays, tmp_path: Path) -> None:
    Authority().write_client(tmp_path / "own.pem", SERVICE)
    async with publishing(kafka.service("certificate", ssl_certificate_file=str(tmp_path / "own.pem"))) as publisher:
        with pytest.raises(KafkaError):
            await publisher.publish([message()])


async def test_a_token_serves_several_connections_and_is_renewed_with_the_secret_of_then(
    kafka: ManyWays, tmp_path: Path
) -> None:
    kafka.tokens.given.clear()
    async with publishing(kafka.service("OAUTHBEARER")) as publisher:
        for _ in range(3):
            await publisher.publish([message()])
            await drop_connections(publisher)
        await publisher.publish([message()])
    assert kafka.tokens.given.count(SERVICE) == 1
    secret = tmp_path / "secret"
    secret.write_text(PASSWORDS[SERVICE])
    kafka.tokens.lives_s = 2
    try:
        async with publishing(kafka.service("OAUTHBEARER", password="", password_file=str(secret))) as publisher:
            await publisher.publish([message()])
            kafka.tokens.secrets[SERVICE] = "another secret"
            secret.write_text("another secret")
            kafka.tokens.given.clear()
            async with asyncio.timeout(60):
                while SERVICE not in kafka.tokens.given:  # until the first has come to the end of its life
                    await drop_connections(publisher)
                    await publisher.publish([message()])
    finally:
        kafka.tokens.lives_s, kafka.tokens.secrets = 3600, dict(PASSWORDS)


@pytest.mark.promise(
    "A service's password or certificate can be replaced in its file while it runs: its next connection has it.",
    about="running",
)
@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "certificate"])
async def test_a_client_has_at_its_next_connection_what_was_put_into_its_file(
    kafka: ManyWays, tmp_path: Path, way: str
) -> None:
    file = tmp_path / "own"
    if way == "certificate":
        kafka.authority.write_client(file, SERVICE)
        settings = kafka.service(way, ssl_certificate_file=str(file), publish_timeout_s=1)
    else:
        file.write_text(f"{PASSWORDS[SERVICE]}\n")
        settings = kafka.service(way, password="", password_file=str(file), publish_timeout_s=1)
    right = file.read_bytes()
    async with publishing(settings) as publisher:
        await until_it_works(publisher)
        if way == "certificate":
            kafka.authority.write_client(file, COMPANY)  # who may not publish that
        else:
            file.write_text("a guess")
        await drop_connections(publisher)
        with pytest.raises((KafkaError, TimeoutError)):
            await publisher.publish([message()])
        file.write_bytes(right)
        await until_it_works(publisher)
        file.unlink()  # it goes on with what it has
        await drop_connections(publisher)
        await publisher.publish([message()])


async def test_services_go_on_where_brokers_end_connections_to_be_told_again_who_it_is(kafka: ManyWays) -> None:
    async with publishing(kafka.service("PLAIN")) as publisher:
        await publisher.publish([message()])
        producer = publisher._producer
        before = set(producer.client._conns.values())
        async with asyncio.timeout(60):
            while before & set(producer.client._conns.values()):
                await publisher.publish([message()])
        assert publisher._producer is producer


@pytest.mark.promise("Rotating a password fails no message: both hold until the old one is ended.", about="running")
async def test_rotating_a_services_password_under_load_fails_no_message(kafka: ManyWays, tmp_path: Path) -> None:
    file, connection_file = tmp_path / "own.password", tmp_path / "connection.json"
    file.write_text(PASSWORDS[ROTATED])
    file.chmod(0o640)  # for the service's user, who is in its group
    kafka.connection().save(connection_file)
    settings = kafka.service(service=ROTATED, password="", password_file=str(file))
    published, stop = 0, asyncio.Event()

    async def publish() -> None:
        nonlocal published
        async with publishing(settings) as steady:
            while not stop.is_set():
                await steady.publish([message(DIRECTORY.name)])
                await drop_connections(steady)
                async with publishing(settings) as new:
                    await new.publish([message(DIRECTORY.name)])
                published += 1

    async def rotate(*words: str) -> None:
        done = await asyncio.to_thread(
            claimbus, "rotate", ROTATED, "--password-file", file, *words, connection_file=connection_file
        )
        assert done.returncode == 0, done.stderr
        enough = published + 3
        await asyncio.to_thread(wait_until, lambda: published >= enough or load.done(), what="more messages")

    load = asyncio.create_task(publish())
    try:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            old = kafka.service(service=ROTATED, password="", password_file=str(copy_of(file)))
            await rotate()
            assert file.read_text().startswith(f"{{{mechanism}}}")
            assert file.stat().st_mode & 0o777 == 0o640
            async with publishing(old) as publisher:
                await publisher.publish([message(DIRECTORY.name)])
            await rotate("--finish")
            async with asyncio.timeout(60):
                await until_refused(old)
    finally:
        stop.set()
        await load  # raises what a message has failed with
    assert published >= 4 * 3


def test_brokers_without_the_other_mechanism_keep_the_old_password_alone(kafka: ManyWays, tmp_path: Path) -> None:
    connection = kafka.connection().model_copy(update={"bootstrap_servers": f"127.0.0.1:{kafka.ports['SINGLE']}"})
    connection.save(tmp_path / "connection.json")
    done = claimbus("rotate", COMPANY, connection_file=tmp_path / "connection.json")
    assert done.returncode == 1
    assert "do not let vest in" in done.stderr
    assert "SCRAM-SHA-256" in done.stderr
    admin = AdminClient(connection.client())
    wait_until(lambda: mechanisms_of(admin, COMPANY) == {"SCRAM-SHA-512"}, what="the end of the new password")
    assert read_connection(tmp_path / "connection.json") == connection


def test_a_password_that_does_not_log_in_ends_no_other(
    kafka: ManyWays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.passwords._LET_IN_S", 0.5)
    file = tmp_path / "claims.password"
    connection = kafka.connection()
    connection.save(tmp_path / "connection.json")
    before = mechanisms_of(AdminClient(connection.client()), SERVICE)
    file.write_text("{SCRAM-SHA-256}a guess")
    rotate = "rotate", SERVICE, "--password-file", file, "--finish"
    done = claimbus(*rotate, connection_file=tmp_path / "connection.json")
    assert done.returncode == 1
    assert "do not let claims in" in done.stderr
    assert mechanisms_of(AdminClient(connection.client()), SERVICE) == before


@pytest.mark.promise("Where brokers get topics, rights or users elsewhere, only the rest is made.", about="running")
def test_what_brokers_get_elsewhere_is_left_out(kafka: ManyWays) -> None:
    connection = kafka.connection()
    admin = AdminClient(connection.client())
    provision_companies(connection, ["nord"], parts=[Part.ACLS])
    wait_until(lambda: has_rights(admin, acls_of_company("nord")), what="rights")
    assert missing_topics(connection, ["nord"]) == [REQUESTS.of("nord"), EVENTS.of("nord")]
    assert mechanisms_of(admin, "nord") == set()
    provision_companies(connection, ["nord"], parts=[Part.TOPICS, Part.CREDENTIALS])
    assert missing_topics(connection, ["nord"]) == []
    assert mechanisms_of(admin, "nord") == {"SCRAM-SHA-512"}
    assert quota_of(connection, "nord") == NO_LIMIT
    provision_companies(connection, ["nord"])
    wait_until(lambda: quota_of(connection, "nord") == USUAL, what="the quota")


def test_services_whose_users_are_made_elsewhere_get_their_rights(
    kafka: ManyWays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "connection.json"
    kafka.connection("OAUTHBEARER").save(file)
    monkeypatch.setenv("CLAIMBUS_LINKING_PASSWORD", "a password")
    refused = claimbus("topics", "--provision", connection_file=file)
    assert refused.returncode == 1
    assert "only users of SCRAM" in refused.stderr
    done = claimbus("topics", "--provision", "--part", "acls", connection_file=file)
    assert (done.returncode, done.stderr) == (0, "provisioned acls of what all share and of the services\n")
    admin = AdminClient(kafka.connection().client())
    for service in ("linking", "delivery"):
        assert has_rights(admin, acls_of_service(service))
        assert mechanisms_of(admin, service) == set()


def has_rights(admin: AdminClient, acls: Iterable[Acl]) -> bool:
    filters = [AclBindingFilter(*_described(acl)) for acl in acls]
    return all(admin.describe_acls(each, request_timeout=30).result() for each in filters)


def copy_of(file: Path) -> Path:
    """Keep what a file says now."""
    return Path(shutil.copy(file, file.with_suffix(".old")))


async def drop_connections(publisher: Publisher) -> None:
    """Have it connect anew."""
    await asyncio.gather(*(connection.close() for connection in list(publisher._producer.client._conns.values())))


async def until_it_works(publisher: Publisher) -> None:
    """Publish as the loop does: again, after what has to do with Kafka or the network."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                return await publisher.publish([message()])


async def until_refused(settings: ServiceSettings) -> None:
    """Connect again and again, until that is no longer let in."""
    with contextlib.suppress(KafkaError):
        while True:
            async with publishing(settings) as publisher:
                await publisher.ping()
