"""The steps of the loop, in order and concurrently, with a crash, a rebalance or a fault between any two of them."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import get_args

import pytest
from faststream.kafka.message import KafkaAckableMessage

from shared.contract.envelope import Outgoing, Undecodable
from shared.contract.topics import DEAD_LETTERS, Topic
from shared.errors import Conflict, Misconfigured
from shared.messaging import health
from shared.messaging.loop import Concurrency, rest_s
from shared.messaging.memory import MemoryBus, Step
from shared.messaging.record import Record
from shared.messaging.service import Bus, Service
from shared.runtime.settings import ServiceSettings

pytestmark = pytest.mark.promise(
    "A batch is published before its offsets are committed, and repeated after any failure.", about="running"
)

SOURCE, TARGET, NOTES = Topic("texts", "any", (), (), -1, 1), "copies", "notes"
STEPS: tuple[Step, ...] = get_args(Step)
SETTINGS = ServiceSettings(
    batches_apart_s=0,
    commits_apart_s=0,
    retry_first_s=0.001,
    retry_longest_s=0.002,
    dead_letter_window=10,
    session_timeout_ms=1000,
    stop_timeout_s=1,
    renew_after_s=0.05,
)


class Copier:
    """A service that copies texts, remembers in a table which it has copied, and trips over what it is told to."""

    def __init__(self, concurrency: Concurrency | None = None, name: str = "copier") -> None:
        self.name = name
        self.concurrency = concurrency
        self.settings = SETTINGS
        self.table: dict[str, str] = {}
        self.batches: list[list[str]] = []
        self.trips_on: set[str] = set()
        self.away: list[type[Exception] | Exception] = []
        self.waits_on: dict[str, asyncio.Event] = {}

    def build(self, bus: Bus) -> Service:
        service = Service(self.name, self.settings, bus)

        @service.subscriber(SOURCE, decode=read_text, concurrency=self.concurrency, instead=self.instead)
        async def copy(texts: Sequence[str]) -> Iterable[Outgoing]:
            self.batches.append(list(texts))
            if self.away:
                raise self.away.pop()
            for text in texts:
                if text in self.trips_on:
                    raise KeyError(text)
                if text in self.waits_on:
                    await self.waits_on[text].wait()
                self.table.setdefault(text, f"{text} was copied")
            notes = [Outgoing(NOTES, text, (), b"copied") for text in texts]
            return [*notes, *(Outgoing(TARGET, text, (), self.table[text].encode()) for text in texts)]

        return service

    def instead(self, text: str) -> Iterable[Outgoing]:
        return [Outgoing(TARGET, text, (), b"instead")]


def read_text(record: Record) -> str:
    text = (record.value or b"").decode()
    if text.startswith("?"):
        raise Undecodable("it is a question")
    if text == "!":
        raise RecursionError
    if text == "old":
        raise Misconfigured("a newer version wrote this")
    return text


@pytest.fixture(params=[None, Concurrency(messages=20, bytes=10_000)], ids=["in order", "concurrently"])
def copier(request: pytest.FixtureRequest) -> Copier:
    return Copier(request.param)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.create(SOURCE.name, partitions=3)
    bus.create(TARGET, partitions=3)
    bus.create(NOTES)
    return bus


def write(bus: MemoryBus, *texts: str, partition: int | None = None) -> None:
    for text in texts:
        bus.append(SOURCE.name, text, text.encode(), partition=partition)


def copies(bus: MemoryBus) -> list[str]:
    return sorted((record.value or b"").decode() for record in bus.records(TARGET))


def reasons(bus: MemoryBus) -> list[str]:
    return sorted(letter["reason"] for letter in bus.bodies(DEAD_LETTERS.name))


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_crash_everything_is_published_and_nothing_decided_twice(
    bus: MemoryBus, copier: Copier, step: Step
) -> None:
    texts = [f"text {n}" for n in range(20)]
    write(bus, *texts)
    with bus.crash(after=step):
        await bus.run_until_idle(copier.build)
    await bus.run_until_idle(copier.build)
    assert set(copies(bus)) == {f"{text} was copied" for text in texts}
    assert bus.committed("copier") == 20


async def test_nothing_is_committed_before_it_is_published(bus: MemoryBus, copier: Copier) -> None:
    write(bus, "one", "two")
    with bus.crash(after="published"):
        await bus.run_until_idle(copier.build)
    assert bus.committed("copier") < len(copies(bus)) <= 2


async def test_what_was_finished_is_not_kept_until_timers_have_run_out(bus: MemoryBus, copier: Copier) -> None:
    copier.settings = SETTINGS.model_copy(update={"batch_max_records": 1})
    async with bus.instance(copier.build) as copying:
        write(bus, *(f"text {n}" for n in range(20)), partition=0)
        await copying.until_idle()
        gc.collect()
        messages = [thing for thing in gc.get_objects() if isinstance(thing, KafkaAckableMessage)]
    assert len(copier.batches) == 20
    assert not any(message.raw_message for message in messages)


async def test_a_batch_that_was_not_full_is_not_followed_at_once_by_another(bus: MemoryBus) -> None:
    slow, quick = Copier(), Copier(name="quick")
    slow.settings = SETTINGS.model_copy(update={"batch_max_records": 5, "batches_apart_s": 3600})
    write(bus, *(f"text {n}" for n in range(12)), partition=0)
    async with bus.instance(slow.build) as waiting, bus.instance(quick.build) as other:
        await waiting.until(lambda: bus.committed("copier") == 12)
        for n in range(13, 23):  # ten times as long as another needs
            write(bus, f"text {n}", partition=0)
            await other.until(lambda: sum(map(len, quick.batches)) == len(bus.records(SOURCE.name)))
    assert [len(batch) for batch in slow.batches] == [5, 5, 2]
    await bus.run_until_idle(slow.build)  # stopping did not wait for it either
    assert slow.batches[3] == [f"text {n}" for n in range(13, 18)]


@pytest.mark.parametrize(
    ("settings", "took_s", "rests_s"),
    [
        ({}, 0.01, 0.19),
        ({}, 0.3, 0),
        ({"batches_apart_s": 0}, 0.01, 0),
        ({"batches_apart_s": 0, "rest_longest_s": 0.03}, 0.01, 0.01),
        ({"batches_apart_s": 0, "rest_longest_s": 0.03}, 2, 0.03),
    ],
)
def test_a_rest_is_what_is_left_until_the_next_batch_or_as_long_as_the_last_one_took(
    settings: dict[str, float], took_s: float, rests_s: float
) -> None:
    assert rest_s(ServiceSettings(**settings), took_s) == pytest.approx(rests_s)  # type: ignore[arg-type]


async def test_a_message_on_which_the_service_fails_is_put_aside_and_the_rest_goes_through(
    bus: MemoryBus, copier: Copier
) -> None:
    copier.trips_on = {"three"}
    write(bus, "one", "two", "three", "?", "!", "four")
    bus.append_undecodable(SOURCE.name)
    await bus.run_until_idle(copier.build)
    fails = "the service copier fails on it; see its log"
    assert copies(bus) == ["four was copied", "instead", "one was copied", "two was copied"]
    assert [reason[:40] for reason in reasons(bus)] == [
        "it is a question",
        "it is not UTF-8",
        fails[:40],
        fails[:40],
    ]
    assert bus.committed("copier") == 7


@pytest.mark.parametrize("error", [Conflict, OSError, TimeoutError])
async def test_what_is_ours_to_wait_for_is_tried_again_and_never_put_aside(
    bus: MemoryBus, copier: Copier, error: type[Exception]
) -> None:
    copier.away = [error for _ in range(5)]
    write(bus, "one")
    await bus.run_until_idle(copier.build)
    assert copier.batches == [["one"]] * 6
    assert copies(bus) == ["one was copied"]
    assert not reasons(bus)


async def test_while_the_brokers_are_away_an_instance_is_not_ready_and_goes_on_when_they_are_back(
    bus: MemoryBus, copier: Copier
) -> None:
    async with bus.instance(copier.build) as copying:
        bus.away = True
        write(bus, "one")
        assert (await copying.service.problems())["kafka"].words == "KafkaConnectionError"
        bus.away = False
        await copying.until_idle()
    assert copies(bus) == ["one was copied"]


async def test_what_a_failed_poll_had_fetched_is_fetched_again_and_what_is_in_hand_is_not_begun_twice(
    bus: MemoryBus, copier: Copier
) -> None:
    copier.waits_on["slow"] = asyncio.Event()
    async with bus.instance(copier.build) as copying:
        write(bus, "slow", partition=0)
        await copying.until(lambda: bool(copier.batches))
        bus.failing_polls = 1
        write(bus, "one", "two", partition=0)
        if copier.concurrency is not None:
            await copying.until(lambda: not bus.failing_polls)
        copier.waits_on["slow"].set()
        await copying.until_idle()
    assert sorted(text for batch in copier.batches for text in batch) == ["one", "slow", "two"]
    assert bus.committed("copier") == 3


async def test_what_a_failed_commit_left_is_committed_with_what_follows(bus: MemoryBus, copier: Copier) -> None:
    async with bus.instance(copier.build) as copying:
        bus.failing_commits = 1
        write(bus, "one", partition=0)
        await copying.until(lambda: not bus.failing_commits)
        write(bus, "two", partition=0)
        await copying.until_idle()
    assert bus.committed("copier") == 2


async def test_a_commit_that_fails_is_made_again_also_if_nothing_follows(bus: MemoryBus, copier: Copier) -> None:
    async with bus.instance(copier.build) as copying:
        bus.failing_commits = 2
        write(bus, "one", partition=0)
        await copying.until(lambda: bus.committed("copier") == 1)


async def test_commits_are_a_moment_apart_and_leave_nothing_out_when_it_stops_or_its_partitions_are_revoked(
    bus: MemoryBus,
) -> None:
    slow = Copier()
    slow.settings = SETTINGS.model_copy(update={"commits_apart_s": 3600})
    async with bus.instance(slow.build) as copying:

        async def copied(text: str) -> None:
            write(bus, text, partition=0)
            await copying.until(lambda: f"{text} was copied" in copies(bus))

        await copied("one")
        await copying.until_idle()
        await copied("two")
        await copied("three")
        assert bus.committed("copier") == 1
        await bus.rebalance("copier")
        assert bus.committed("copier") == 3
        await copied("four")
        await copying.until_idle()
        await copied("five")
    assert bus.committed("copier") == 5
    assert slow.batches == [["one"], ["two"], ["three"], ["four"], ["five"]]


async def test_a_fault_of_the_deployment_stops_the_service_and_commits_nothing(bus: MemoryBus, copier: Copier) -> None:
    write(bus, "old", partition=0)
    stopped = await bus.run_until_idle(copier.build)
    assert stopped.fault == "a newer version wrote this"
    assert bus.committed("copier") == 0


async def test_too_many_dead_letters_stop_the_service(bus: MemoryBus, copier: Copier) -> None:
    write(bus, *(f"?{n}" for n in range(20)), partition=0)
    stopped = await bus.run_until_idle(copier.build)
    assert "cannot be understood" in (stopped.fault or "")
    assert bus.committed("copier") < 10


async def test_a_revocation_waits_for_what_is_in_hand_and_commits_it(bus: MemoryBus, copier: Copier) -> None:
    copier.waits_on["slow"] = asyncio.Event()
    write(bus, "slow")
    async with bus.instance(copier.build) as copying:
        await copying.until(lambda: bool(copier.batches))
        rebalance = asyncio.create_task(bus.rebalance("copier"))
        await asyncio.sleep(0)
        assert not rebalance.done()
        copier.waits_on["slow"].set()
        await rebalance
        assert bus.committed("copier") == 1
    assert copier.batches == [["slow"]]


async def test_what_cannot_be_finished_is_given_up_at_the_revocation_and_done_by_whoever_reads_on(
    bus: MemoryBus, copier: Copier
) -> None:
    copier.waits_on["slow"] = asyncio.Event()
    write(bus, "slow")
    async with bus.instance(copier.build) as copying:
        await copying.until(lambda: bool(copier.batches))
        await bus.rebalance("copier")
        assert bus.committed("copier") == 0
        assert not copies(bus)
        await copying.until(lambda: len(copier.batches) == 2)
        copier.waits_on["slow"].set()
        await copying.until_idle()
    assert copies(bus) == ["slow was copied"]


async def test_two_instances_share_the_partitions_and_one_takes_over_from_the_other(
    bus: MemoryBus, copier: Copier
) -> None:
    async with bus.instance(copier.build) as first:
        async with bus.instance(copier.build) as second:
            assert {len(c.assignment()) for i in (first, second) for c in i.consumers} == {1, 2}
            write(bus, *(f"text {n}" for n in range(30)))
            await first.until_idle()
            await second.until_idle()
        write(bus, "last")
        await first.until_idle()
    assert len(copies(bus)) == 31


async def test_an_instance_that_was_not_told_that_its_partitions_are_anothers_changes_nothing(
    bus: MemoryBus, copier: Copier
) -> None:
    copier.waits_on["slow"] = asyncio.Event()
    write(bus, "one", "slow", "two", partition=0)
    async with bus.instance(copier.build) as zombie:
        await zombie.until(lambda: "slow" in chain(*copier.batches))
        bus.end_coordination("copier")  # it is asleep, and nobody waits for it
        (consumer,) = zombie.consumers
        consumer.pause(*consumer.assignment())
        write(bus, "three", "four", partition=0)
        another = Copier(copier.concurrency)
        another.table = copier.table
        await bus.run_until_idle(another.build)
        kept, published = dict(copier.table), Counter(copies(bus))
        copier.waits_on["slow"].set()
        await zombie.until(lambda: Counter(copies(bus))["slow was copied"] > published["slow was copied"])
    assert copier.table == kept
    assert set(copies(bus)) == {f"{text} was copied" for text in ("one", "slow", "two", "three", "four")}
    assert bus.committed("copier") == 5, "what was in hand is not committed, which would go back"


async def test_a_reader_that_its_group_has_forgotten_is_made_anew_and_reads_on(bus: MemoryBus, copier: Copier) -> None:
    copier.settings = SETTINGS.model_copy(update={"renew_after_s": 0})
    copier.waits_on["in hand"] = asyncio.Event()
    async with bus.instance(copier.build) as copying:
        write(bus, "in hand", partition=0)
        await copying.until(lambda: bool(copier.batches))
        (stuck,) = copying.consumers
        bus.groups["copier"].members.clear()
        stuck._positions.clear()  # it reads nothing more, whatever comes
        write(bus, "one", partition=1)
        (reader,) = copying.service.readers
        await reader._look()
        assert copying.consumers == [stuck], "a group that rebalances is given a moment"
        await reader._look()
        copier.waits_on["in hand"].set()
        await copying.until_idle()
        assert reader._subscriber.consumer is copying.consumers[-1]
    assert len(copying.consumers) == 2
    assert sorted(chain(*copier.batches)) == ["in hand", "in hand", "one"], "what was in hand was given up"
    assert copies(bus) == ["in hand was copied", "one was copied"]


async def test_a_publish_under_way_when_its_topic_goes_away_fails_and_is_repeated_when_it_is_back(
    bus: MemoryBus, copier: Copier
) -> None:
    bus.holds_acknowledgements = True
    async with bus.instance(copier.build) as copying:
        write(bus, "one")
        await copying.until(lambda: len(copies(bus)) == 1)
        del bus.topics[TARGET]
        bus.holds_acknowledgements = False
        await copying.until(lambda: bool(copying.service.loops[0].retrying))
        assert bus.committed("copier") == 0
        bus.create(TARGET)
        await copying.until_idle()
    assert copies(bus) == ["one was copied"]
    assert bus.committed("copier") == 1


async def test_a_topic_that_is_missing_is_waited_for_with_the_same_producer(bus: MemoryBus, copier: Copier) -> None:
    del bus.topics[TARGET]
    async with bus.instance(copier.build) as copying:
        write(bus, "one")
        await copying.until(lambda: len(copier.batches) > 2)
        bus.create(TARGET)
        await copying.until_idle()
    assert copies(bus) == ["one was copied"]
    assert len(copying.producers) == 1


async def test_a_reader_whose_coordination_has_ended_reads_again_while_the_old_consumer_hangs(
    bus: MemoryBus, copier: Copier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(health, "_GOODBYE_S", 0.01)
    copier.waits_on["slow"] = asyncio.Event()
    bus.stops.clear()
    async with bus.instance(copier.build) as copying:
        write(bus, "done", "slow", partition=0)
        done = 0 if copier.concurrency is None else 1
        await copying.until(lambda: "slow" in chain(*copier.batches) and bus.committed("copier") == done)
        bus.end_coordination("copier")
        await copying.until(lambda: len(copying.consumers) == 2 and bool(copying.consumers[1].assignment()))
        copier.waits_on["slow"].set()
        write(bus, "last", partition=0)
        await copying.until_idle()
        bus.stops.set()
    assert bus.committed("copier") == 3
    assert set(copies(bus)) == {"done was copied", "slow was copied", "last was copied"}
    assert len(copies(bus)) == 3, "nothing that was given up is published"


async def test_concurrently_a_slow_message_holds_up_nothing_but_the_offset(bus: MemoryBus) -> None:
    copier = Copier(Concurrency(messages=20, bytes=10_000))
    copier.waits_on["slow"] = asyncio.Event()
    write(bus, "slow", "one", "two", partition=0)
    async with bus.instance(copier.build) as copying:
        await copying.until(lambda: len(copies(bus)) == 2)
        assert bus.committed("copier") == 0
        copier.waits_on["slow"].set()
        await copying.until_idle()
    assert bus.committed("copier") == 3


async def test_concurrently_no_more_is_read_than_may_be_in_hand(bus: MemoryBus) -> None:
    copier = Copier(Concurrency(messages=5, bytes=10_000))
    slow = [f"slow {n}" for n in range(10)]
    copier.waits_on = dict.fromkeys(slow, asyncio.Event())
    async with bus.instance(copier.build) as copying:
        write(bus, *slow[:5], partition=0)
        await copying.until(lambda: len(copier.batches) == 5)
        write(bus, *slow[5:], partition=0)
        await copying.until(lambda: copying.consumers[0].empty_since is not None)
        assert len(copier.batches) == 5
        copier.waits_on[slow[0]].set()
        await copying.until_idle()
    assert len(copies(bus)) == 10


async def test_an_instance_that_is_stopped_while_it_waits_commits_nothing(bus: MemoryBus, copier: Copier) -> None:
    copier.away = [ConnectionError] * 1000
    write(bus, "one")
    async with bus.instance(copier.build) as copying:
        await copying.until(lambda: bool(copying.service.loops[0].retrying))
        assert [p.words for p in (await copying.service.problems()).values()] == ["a batch is being tried again"]
    assert bus.committed("copier") == 0


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, Conflict, RecursionError])
async def test_no_log_has_the_text_of_an_error(
    bus: MemoryBus, copier: Copier, error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    copier.away = [error("Anne Berg, Strandgata 1") for _ in range(9)]
    for text in ("one", "two", "?Anne Berg"):
        bus.append(SOURCE.name, "a-key", text.encode(), partition=0)
    await bus.run_until_idle(copier.build)
    logged = capsys.readouterr().out
    assert error.__name__ in logged
    assert "message is put aside" in logged
    assert "Anne" not in logged
