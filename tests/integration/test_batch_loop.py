"""The batch loop on a real Kafka: what a service does with messages that it cannot take, and when it stops."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from operations.connection import Connection
from operations.dead_letters import DeadLetters
from shared.contract.envelope import Outgoing, Undecodable
from shared.contract.topics import OPERATOR, Topic
from shared.messaging.loop import Concurrency
from shared.messaging.record import Record
from shared.messaging.service import Service
from shared.runtime.settings import ServiceSettings
from tests.world import wait_until

pytestmark = pytest.mark.promise(
    "A batch is published before its offsets are committed, and repeated after any failure.", about="running"
)

WAIT_S = 30.0


@dataclass
class Probe:
    """A service that copies texts from one topic to another, and trips over what it is told to trip over."""

    connection: Connection
    name: str
    trips_on: str | None = None
    away_for: int = 0
    """How many times something of ours is away before it is back."""
    times: dict[str, int] = field(default_factory=dict)
    """How often a text is repeated in what is published of it."""
    handled: list[str] = field(default_factory=list)
    partitions: int = 1
    many_at_once: bool = False
    """Whether it works as linking does, on many messages in flight."""

    @property
    def source(self) -> Topic:
        return Topic(f"{self.name}-in", "any", (), (), -1, 1)

    @property
    def target(self) -> str:
        return f"{self.name}-out"

    def build(self, **settings: float | str) -> Service:
        options = ServiceSettings(
            bootstrap_servers=self.connection.bootstrap_servers,
            username=OPERATOR,
            password=SecretStr(self.connection.companies[OPERATOR].password),
            retry_first_s=0.05,
            retry_longest_s=0.1,
            **settings,  # type: ignore[arg-type]
        )
        service = Service(self.name, options)
        concurrency = Concurrency(messages=200, bytes=32 * 1024 * 1024) if self.many_at_once else None

        @service.subscriber(self.source, decode=read_text, concurrency=concurrency, instead=self.given_up)
        async def handle(texts: Sequence[str]) -> Iterable[Outgoing]:
            if self.away_for:
                self.away_for -= 1
                raise ConnectionError
            if self.trips_on in texts:
                raise KeyError(self.trips_on)
            self.handled += texts
            return [Outgoing(self.target, text, (), text.encode() * self.times.get(text, 1)) for text in texts]

        return service

    def given_up(self, text: str) -> Iterable[Outgoing]:
        return [Outgoing(self.target, text, (), f"{text} is given up".encode())] if self.many_at_once else []


def read_text(record: Record) -> str:
    """Read a text; what begins with a question mark cannot be read."""
    text = (record.value or b"").decode()
    if text.startswith("?"):
        raise Undecodable("it is a question")
    if text == "!":
        raise RecursionError
    return text


@pytest.fixture
def probe(connection: Connection, request: pytest.FixtureRequest) -> Probe:
    """A probe with topics of its own, of one partition or as many as a test asks for."""
    probe = Probe(connection, f"probe-{uuid.uuid4().hex[:12]}", partitions=getattr(request, "param", 1))
    admin = AdminClient(connection.client())
    for created in admin.create_topics(
        [NewTopic(probe.source.name, probe.partitions, 1), NewTopic(probe.target, 1, 1)]
    ).values():
        created.result(20)
    return probe


async def test_a_message_on_which_the_service_fails_is_put_aside_and_the_rest_goes_through(probe: Probe) -> None:
    probe.trips_on = "three"
    async with _running(probe.build()):
        await _send(probe, ["one", "two", "three", "four", "?", "!", "five"])
        assert await _published(probe, 4) == ["one", "two", "four", "five"]
        await _until(lambda: len(_letters(probe)) == 3)
    fails = f"the service {probe.name} fails on it; see its log"
    assert sorted(_letters(probe)) == ["it is a question", fails, fails]
    assert await _committed(probe) == 7


async def test_what_is_ours_to_wait_for_is_waited_for_and_never_put_aside(probe: Probe) -> None:
    probe.away_for = 5
    service = probe.build()
    async with _running(service):
        await _send(probe, ["one", "two"])
        assert await _published(probe, 2) == ["one", "two"]
    assert not _letters(probe)


async def test_a_service_that_is_stopped_while_it_waits_commits_nothing_of_what_it_could_not_finish(
    probe: Probe,
) -> None:
    probe.away_for = 10**6
    service = probe.build()
    async with _running(service):
        await _send(probe, ["one"])
        await _until(lambda: bool(service.loops[0].retrying))
        assert (await _ready(service))[0] == 503
    assert await _committed(probe) is None
    probe.away_for = 0
    async with _running(probe.build()):
        assert await _published(probe, 1) == ["one"]


async def test_too_many_dead_letters_stop_the_service_before_any_of_them_is_passed(probe: Probe) -> None:
    await _send(probe, [f"?{n}" for n in range(20)])
    service = probe.build(dead_letter_window=10)
    await asyncio.wait_for(service.run(), WAIT_S)
    assert service.fault is not None
    assert "cannot be understood" in service.fault
    assert not _letters(probe)
    assert await _committed(probe) is None


async def test_too_many_dead_letters_stop_a_service_that_works_on_many_messages_at_once(probe: Probe) -> None:
    probe.many_at_once = True
    await _send(probe, [f"?{n}" for n in range(20)])
    service = probe.build(dead_letter_window=10)
    await asyncio.wait_for(service.run(), WAIT_S)
    assert service.fault is not None
    assert "cannot be understood" in service.fault
    assert (await _committed(probe) or 0) < 10


async def test_what_fails_or_is_too_large_in_flight_is_given_up_and_holds_up_nothing(probe: Probe) -> None:
    probe.many_at_once = True
    probe.trips_on = "broken"
    probe.times["large"] = 9 * 1024 * 1024
    async with _running(probe.build()):
        await _send(probe, ["one", "large", "broken", "two"])
        published = await _published(probe, 4)
        await _until(lambda: len(_letters(probe)) == 2)
        await _until(lambda: asyncio.run(_committed(probe)) == 4)
    assert sorted(published) == ["broken is given up", "large is given up", "one", "two"]


async def test_a_service_reads_on_where_it_stopped(probe: Probe) -> None:
    for texts in (["one", "two"], ["three"]):
        async with _running(probe.build()):
            await _send(probe, texts)
            await _until(lambda texts=texts: probe.handled[-1:] == texts[-1:])  # type: ignore[misc]
    assert probe.handled == ["one", "two", "three"]


async def test_an_answer_that_is_too_large_for_the_brokers_costs_its_own_message_only(probe: Probe) -> None:
    probe.times["large"] = 9 * 1024 * 1024
    async with _running(probe.build()):
        await _send(probe, ["one", "large", "two"])
        await _until(lambda: len(_letters(probe)) == 1)
        published = await _published(probe, until="two")
    assert list(dict.fromkeys(published)) == ["one", "two"]  # a repeat is allowed


@pytest.mark.parametrize("probe", [4], indirect=True, ids=["4 partitions"])
async def test_an_instance_with_a_name_that_is_restarted_under_load_takes_no_partition_from_the_other(
    probe: Probe,
) -> None:
    texts = [str(n) for n in range(300)]
    async with _running(probe.build(instance="one", session_timeout_ms=20_000)) as one:
        restarted = probe.build(instance="two", session_timeout_ms=20_000)
        async with _running(restarted):
            await _until(lambda: _shares(one, restarted) == [2, 2])
            share, since = _held(one), one.loops[0].assigned_at
            await _send(probe, texts[:100])
        sending = asyncio.create_task(_send(probe, texts[100:200]))
        again = probe.build(instance="two", session_timeout_ms=20_000)
        async with _running(again):
            await sending
            await _until(lambda: _shares(one, again) == [2, 2])
            await _send(probe, texts[200:])
            assert set(await _published(probe, len(texts))) == set(texts)
            assert _held(one) == share
            assert one.loops[0].assigned_at == since  # nothing was revoked from it


async def test_two_instances_of_one_name_take_partitions_from_each_other_and_lose_nothing(probe: Probe) -> None:
    """A deployment that gives a name twice: Kafka knows only the one that joined last, until the other joins again."""
    texts = [str(n) for n in range(200)]
    async with _running(probe.build(instance="same")) as first:
        await _until(lambda: bool(_held(first)))
        joined_at = first.loops[0].assigned_at
        async with _running(probe.build(instance="same")) as second:
            await _until(lambda: bool(_held(second)))
            await _send(probe, texts[:100])
            await _until(lambda: first.loops[0].assigned_at > joined_at)  # the second was thrown out in its turn
            await _send(probe, texts[100:])
            await _published(probe, until=texts[-1])
        await _until(lambda: bool(_held(first)))
        await _send(probe, ["the last"])
        assert {*texts, "the last"} == set(await _published(probe, until="the last"))
        await _until(lambda: asyncio.run(_committed(probe)) == 201)  # by whoever joined again, if it was thrown out


def _held(service: Service) -> frozenset[TopicPartition]:
    """The partitions that an instance reads."""
    (reader,) = service.readers
    consumer = reader._subscriber.consumer
    return frozenset() if consumer is None else frozenset(consumer.assignment())


def _shares(*services: Service) -> list[int]:
    return [len(_held(service)) for service in services]


@asynccontextmanager
async def _running(service: Service) -> AsyncIterator[Service]:
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        service.stop()
        await asyncio.wait_for(task, WAIT_S)


async def _ready(service: Service) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(*service.health_url.removeprefix("http://").split(":"))
    writer.write(b"GET /health/ready HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]), answer


def _client(probe: Probe) -> dict[str, object]:
    return {
        "bootstrap_servers": probe.connection.bootstrap_servers,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": OPERATOR,
        "sasl_plain_password": probe.connection.companies[OPERATOR].password,
    }


async def _send(probe: Probe, texts: Iterable[str]) -> None:
    async with AIOKafkaProducer(**_client(probe)) as producer:
        for text in texts:
            await producer.send_and_wait(probe.source.name, text.encode())


async def _published(probe: Probe, count: int = 0, *, until: str | None = None) -> list[str]:
    found: list[str] = []
    async with AIOKafkaConsumer(probe.target, auto_offset_reset="earliest", **_client(probe)) as consumer:
        async with asyncio.timeout(WAIT_S):
            while len(found) < count or (until is not None and until not in found):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record.value.decode() for record in records]
    return found


async def _committed(probe: Probe) -> int | None:
    async with AIOKafkaConsumer(group_id=probe.name, **_client(probe)) as consumer:
        offset: int | None = await consumer.committed(TopicPartition(probe.source.name, 0))
        return offset


def _letters(probe: Probe) -> list[str]:
    return [x.reason for x in DeadLetters(probe.connection).open() if x.source_topic == probe.source.name]


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, what="that", timeout_s=WAIT_S)
