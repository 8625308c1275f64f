"""TLS between services and Kafka, with real certificates that are replaced while both run."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from cryptography import x509
from pydantic import SecretStr

from operations.embedded import EmbeddedKafka, free_port
from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS
from shared.messaging import follower
from shared.messaging.follower import TopicReader
from shared.messaging.publisher import Publisher
from shared.runtime.settings import ServiceSettings
from tests.builders.certificates import Authority
from tests.world import wait_until

pytestmark = pytest.mark.promise(
    "Services speak to Kafka over TLS, and go on when its certificate, or who signs them, is replaced while they run.",
    about="running",
)

TOPIC, PASSWORD = "over-tls", "of the operator"


class TlsKafka(EmbeddedKafka):
    """The embedded broker with one more listener, over TLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, users={"operator": PASSWORD})
        self.server = folder / "server.pem"
        self.tls_port = free_port()
        folder.mkdir()

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self._folder / "server.properties"
        settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
        for name in ("listeners", "advertised.listeners"):
            settings[name] += f",TLS://127.0.0.1:{self.tls_port}"
        settings["listener.security.protocol.map"] += ",TLS:SASL_SSL"
        settings["listener.name.tls.scram-sha-512.sasl.jaas.config"] = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
        settings["listener.name.tls.ssl.keystore.type"] = "PEM"
        settings["listener.name.tls.ssl.keystore.location"] = str(self.server)
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def admin(self) -> AdminClient:
        """Log in without TLS."""
        return AdminClient(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "operator",
                "sasl.password": PASSWORD,
            }
        )

    def read_certificate_again(self) -> None:
        """Have it take what stands in its file now."""
        name = "listener.name.tls.ssl.keystore.location"
        entry = ConfigEntry(name, str(self.server), incremental_operation=AlterConfigOpType.SET)
        broker = ConfigResource(ConfigResource.Type.BROKER, "1", incremental_configs=[entry])
        admin = self.admin()
        admin.incremental_alter_configs([broker])[broker].result(30)

    async def number(self, authority: Path) -> int:
        """The number of the certificate that it shows now to who trusts an authority."""
        trusting = ssl.create_default_context(cafile=str(authority))
        _, writer = await asyncio.open_connection("127.0.0.1", self.tls_port, ssl=trusting)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(shown).serial_number


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[TlsKafka]:
    kafka = TlsKafka(tmp_path / "kafka")
    yield kafka
    kafka.stop()


def settings(kafka: TlsKafka, authority: Path, *, publish_timeout_s: float = 1) -> ServiceSettings:
    return ServiceSettings(
        bootstrap_servers=f"127.0.0.1:{kafka.tls_port}",
        security_protocol="SASL_SSL",
        username="operator",
        password=SecretStr(PASSWORD),
        ssl_ca_file=str(authority),
        publish_timeout_s=publish_timeout_s,
    )


async def test_services_go_on_when_certificates_and_authorities_are_replaced(
    kafka: TlsKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_ANSWER_S", 1.0)
    first, second, authority, stranger = Authority(), Authority(), tmp_path / "ca.pem", tmp_path / "stranger.pem"
    first.write(authority)
    second.write(stranger)
    before = first.write_server(kafka.server)
    kafka.start()
    admin = kafka.admin()
    topics = [NewTopic(topic, 1, 1) for topic in (TOPIC, DEAD_LETTERS.name)]
    for done in admin.create_topics(topics).values():
        done.result(30)
    read: list[bytes | None] = []
    publisher = Publisher(settings(kafka, authority))
    reader = TopicReader(settings(kafka, authority), TOPIC, lambda record: read.append(record.value))
    deceived = Publisher(settings(kafka, stranger, publish_timeout_s=30))
    try:
        await until_it_works(lambda: publisher.publish([Outgoing(TOPIC, "a key", (), b"first")]))
        await until_it_works(reader.catch_up)
        assert await kafka.number(authority) == before
        with pytest.raises(KafkaError):
            await deceived.publish([Outgoing(TOPIC, "a key", (), b"to a stranger")])

        renewed = first.write_server(kafka.server)
        kafka.read_certificate_again()
        await asyncio.to_thread(  # it answers before it has taken it
            wait_until, lambda: asyncio.run(kafka.number(authority)) == renewed, what="the new certificate"
        )
        await until_it_works(lambda: publisher.publish([Outgoing(TOPIC, "a key", (), b"renewed")]))
        await until_it_works(reader.catch_up)

        kafka.stop()
        second.write(authority)
        second.write_server(kafka.server)
        kafka.start()
        await until_it_works(lambda: publisher.publish([Outgoing(TOPIC, "a key", (), b"another authority")]))
        await until_it_works(reader.catch_up)
        assert list(dict.fromkeys(read)) == [b"first", b"renewed", b"another authority"]
    finally:
        for each in (publisher, deceived):
            await each.stop()
        await reader.stop()


async def until_it_works(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try as the loop does: again, after what has to do with Kafka or the network."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                return await attempt()
            await asyncio.sleep(0.05)
