"""Make the archive of Kafka's classes: `python -m operations.embedded.make_kafka_archive`, run by EmbeddedKafka.

A Kafka of its own is started with nothing stored, made ready for services, used a little, and stopped again; what the
JVM notes meanwhile goes into the archive.
"""

import contextlib
import secrets
import shutil
import signal
import sys
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer

from operations.connection import CompanyAccess, Connection
from operations.embedded.kafka import EmbeddedKafka, archive
from operations.embedded.kafka_archive import make_once
from operations.embedded.processes import NotStarted
from operations.provisioning import NotProvisioned, provision_services
from shared.contract.topics import CLAIM_EVENTS, OPERATOR, SERVICES

_TIMEOUT_S = 60.0


def make(file: Path) -> None:
    """Make the archive; where that can't be, there is none."""
    folder = file.with_suffix(".kafka")
    shutil.rmtree(folder, ignore_errors=True)
    companies = {OPERATOR: CompanyAccess.new()}
    kafka = EmbeddedKafka(folder, users={OPERATOR: companies[OPERATOR].password}, notes=folder / "notes")
    try:
        kafka.start()
        use(Connection(bootstrap_servers=kafka.bootstrap_servers, companies=companies))
        kafka.stop()
        kafka.make_archive(file)
    except (NotStarted, NotProvisioned, KafkaException) as error:
        file.unlink(missing_ok=True)
        print(error, file=sys.stderr)
    finally:
        kafka.kill()
        shutil.rmtree(folder, ignore_errors=True)


def use(connection: Connection) -> None:
    """Do what services do when they start. Raises NotProvisioned and KafkaException."""
    provision_services(connection, dict.fromkeys(SERVICES, secrets.token_urlsafe()))
    producer = Producer(connection.client() | {"enable.idempotence": True})
    producer.produce(CLAIM_EVENTS.name, b"{}")
    producer.flush(_TIMEOUT_S)
    consumer = Consumer(connection.client() | {"group.id": OPERATOR, "auto.offset.reset": "earliest"})
    consumer.subscribe([CLAIM_EVENTS.name])
    if (record := consumer.poll(_TIMEOUT_S)) is not None:
        consumer.commit(message=record, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and nothing of it is left behind
    with contextlib.suppress(OSError):  # the cache can't be written to
        make_once(archive(), make)
