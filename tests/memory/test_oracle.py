"""Whether the audit finds defects: one is planted at a time, where something happens that brings it out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from aiokafka import TopicPartition

from services.claims.batch import Batch
from services.claims.store import Transaction
from shared.contract import ids
from shared.contract.topics import CLAIM_EVENTS, OPERATOR, REQUEST_OUTCOMES, REQUESTS
from shared.messaging.memory import Instance
from shared.messaging.positions import Move
from tests.builders.requests import BODIES, FJORD, VEST, VEST_BERGEN, VEST_VOSS, creation, headers_of
from tests.memory import defects
from tests.memory.audited import audited
from tests.memory.defects import Defect
from tests.memory.road import READERS, Road
from tests.memory.test_redaction import SOURCE, linked, redact

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds each of the defects that are planted to try it.", about="running"
)

Provocation = Callable[[Road], Awaitable[None]]


async def a_crash_between_steps(road: Road) -> None:
    """permissions and claims each crash behind a commit."""
    for service in ("permissions", "claims"):
        road.ask(VEST, "create-temporary-claim", id=f"crash-of-{service}")
        with road.bus.crash(after="committed"):
            await road.run()
        await road.run()


async def restarts_between_requests(road: Road) -> None:
    """Each time that something comes, other instances read on."""
    for n in range(2):
        road.bus.append(
            REQUESTS.of(VEST), "one key", b"{}", headers_of("claimbus.cancel-claim.v1", f"restart-{n}"), partition=0
        )
        async with permissions(road) as instance:
            await instance.until(lambda: has_passed(road, "permissions", REQUESTS.of(VEST)))


async def lost_acknowledgements(road: Road) -> None:
    """What claims hands to the brokers is lost with the one that had it, before the others have it too."""
    road.ask(VEST, "create-temporary-claim", id="lost")
    await road.run("permissions")
    published = CLAIM_EVENTS, REQUEST_OUTCOMES
    logs = [log for topic in published for log in road.bus.topics[topic.name]]
    kept = [len(log) for log in logs]
    before = road.length()
    road.bus.holds_acknowledgements = True
    async with road.bus.instance(lambda bus: road.build("claims", bus)) as instance:
        await instance.until(lambda: road.length() == before + len(published))
    for log, length in zip(logs, kept, strict=True):
        del log[length:]
    road.bus.holds_acknowledgements = False
    await road.run()


async def the_same_request_again(road: Road) -> None:
    """An insurer sends a request once more, with the same id."""
    road.ask(VEST, "create-temporary-claim", id="again")
    await road.run()
    for _ in range(2):
        road.ask(FJORD, "cancel-claim", {"claim_id": str(ids.claim_id(VEST, "again"))}, id="again")
        await road.run()


async def a_setting_beside_a_request(road: Road) -> None:
    """One instance of permissions settles an insurer's setting; a moment later another has a partner's request."""
    async with permissions(road) as first, permissions(road) as second:
        settings = headers_of("claimbus.set-office-permission.v1", "beside")
        body = {"office": VEST_BERGEN, "creation": "never"}
        road.append(FJORD, settings, body, partition=partition_of(first, REQUESTS.of(FJORD)))
        await first.until_idle()
        request = headers_of("claimbus.create-temporary-claim.v1", "beside")
        road.append(VEST, request, creation(), partition=partition_of(second, REQUESTS.of(VEST)))
        await second.until_idle()
    await road.run()


async def a_claim_of_two_companies(road: Road) -> None:
    """A partner creates a claim of an insurer, which corrects it."""
    road.ask(VEST, "create-temporary-claim", id="of-two")
    await road.run()
    amendment = {"claim_id": str(ids.claim_id(VEST, "of-two")), "policy_number": "P-2"}
    road.ask(FJORD, "amend-claim", amendment, id="correction-of-two")
    await road.run()


async def a_request_at_opening_time(road: Road) -> None:
    """An office that may create outside office hours alone asks in the first moment of these."""
    body = {"office": VEST_VOSS, "creation": "outside_office_hours"}
    road.ask(FJORD, "set-office-permission", body, id="outside-office-hours")
    opens = (road.bus.now + timedelta(days=1)).replace(hour=7, minute=0, second=0, microsecond=0)  # 8 in Oslo
    road.bus.now = opens - timedelta(milliseconds=1)
    road.ask(VEST, "create-temporary-claim", creation(office=VEST_VOSS), id="at-opening-time")
    await road.run()


async def a_late_report_and_a_link_taken_back(road: Road) -> None:
    """Something is reported on a claim while it is being linked; a moment later the link of another is taken back."""
    for id in ("late", "back"):
        road.ask(VEST, "create-temporary-claim", creation(tasks=[{"kind": "first_aid"}]), id=id)
        road.ask(FJORD, "register-claim", BODIES["register-claim"] | {"claim_number": f"SK-{id}"}, id=f"target-{id}")
    await road.run()
    sources = {id: ids.claim_id(VEST, id) for id in ("late", "back")}
    for id, source in sources.items():
        target = str(ids.claim_id(FJORD, f"target-{id}"))
        road.ask(FJORD, "link-claim", {"claim_id": str(source), "target_claim_id": target}, id=f"link-{id}")
    await road.run("permissions")
    await road.run("claims")
    task = str(ids.created_task_id(sources["late"], 1))
    road.ask(
        VEST, "report-task", {"claim_id": str(sources["late"]), "task_id": task, "text": "Malt."}, id="late-report"
    )
    await road.run("permissions", "claims")
    await road.run()
    await road.run("portal", "reporting")
    road.ask(FJORD, "unlink-claim", {"claim_id": str(sources["back"])}, id="unlink")
    await road.run()
    await road.run("portal", "reporting")


async def a_redaction(road: Road) -> None:
    """A claim with a file that was linked is redacted, when all have read it; then it is sent again."""
    await linked(road)
    await road.run(*READERS)
    await redact(road, SOURCE)
    road.ask(OPERATOR, "republish-claim", {"claim_id": str(SOURCE), "reader": "portal"}, id="again")
    await road.run()
    await road.run(*READERS)


async def a_writer_that_slept(road: Road) -> None:
    """An instance of claims sleeps between loading a claim and saving it, until another has gone on with it."""
    road.ask(VEST, "create-temporary-claim", id="slept")
    await road.run()
    claim = {"claim_id": str(ids.claim_id(VEST, "slept"))}
    road.ask(VEST, "amend-claim", claim | {"policy_number": "P-1"}, id="slept-first")
    await road.run("permissions")
    asleep, awake = asyncio.Event(), asyncio.Event()
    save = Transaction.save

    async def save_when_awake(transaction: Transaction, batch: Batch, moves: Sequence[Move], **how: bool) -> None:
        if not asleep.is_set():
            asleep.set()
            await awake.wait()
        await save(transaction, batch, moves, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "save", save_when_awake)
        async with road.bus.instance(lambda bus: road.build("claims", bus)) as sleeping:
            await sleeping.until(asleep.is_set)
            road.bus.end_coordination("claims")
            (consumer,) = sleeping.consumers
            consumer.pause(*consumer.assignment())
            road.ask(VEST, "amend-claim", claim | {"policy_number": "P-2"}, id="slept-second")
            await road.run("permissions", "claims")
            before = road.length()
            awake.set()
            await sleeping.until(lambda: road.length() > before)
    await road.run()


def permissions(road: Road) -> Instance:
    """One more instance of permissions."""
    return road.bus.instance(lambda bus: road.build("permissions", bus))


def has_passed(road: Road, service: str, topic: str) -> bool:
    """Whether a service has committed all that there is, or more."""
    committed = road.bus.groups[service].committed
    return all(committed.get(TopicPartition(topic, n), 0) >= len(log) for n, log in enumerate(road.bus.topics[topic]))


def partition_of(instance: Instance, topic: str) -> int:
    """A partition of a topic that an instance reads."""
    assigned = (partition for consumer in instance.consumers for partition in consumer.assignment())
    return next(int(partition.partition) for partition in assigned if partition.topic == topic)


PLANTED: list[tuple[Defect, Provocation, set[str]]] = [
    (defects.commits_before_publishing, a_crash_between_steps, {"nothing-passed-over"}),
    (defects.commits_one_too_far, restarts_between_requests, {"nothing-passed-over"}),
    (defects.publishes_without_waiting, lost_acknowledgements, {"one-outcome", "events-published"}),
    (defects.skips_the_remembered_answer, the_same_request_again, {"one-outcome", "outcomes-recorded"}),
    (defects.skips_the_version_check, a_writer_that_slept, {"versions-without-hole"}),
    (defects.skips_the_barrier, a_setting_beside_a_request, {"decisions-recomputed"}),
    (defects.forgets_the_last_of_an_audience, a_claim_of_two_companies, {"audience-as-computed"}),
    (defects.forgets_the_last_recipient, a_claim_of_two_companies, {"events-delivered"}),
    (defects.leaves_late_reports_behind, a_late_report_and_a_link_taken_back, {"reports-conserved"}),
    (defects.keeps_tasks_listed, a_late_report_and_a_link_taken_back, {"read-models-replay"}),
    (defects.counts_what_has_ended_as_waiting, a_late_report_and_a_link_taken_back, {"read-models-replay"}),
    (defects.redacts_claims_alone, a_redaction, {"redacted-claims-emptied"}),
    (defects.forgets_the_steps_of_the_redacted, a_redaction, {"redacted-claims-emptied"}),
    (defects.forgets_the_history_of_the_redacted, a_redaction, {"read-models-replay"}),
    (defects.forgets_the_files_of_the_redacted, a_redaction, {"read-models-replay"}),
    (defects.goes_on_comparing_the_redacted, a_redaction, {"read-models-replay"}),
    (defects.publishes_the_redacted_as_it_was, a_redaction, {"events-recorded"}),
    (defects.opens_a_moment_late, a_request_at_opening_time, {"decisions-recomputed"}),
]


@pytest.mark.parametrize(("defect", "provoke", "broken"), [pytest.param(*p, id=p[0].__name__) for p in PLANTED])
async def test_a_planted_defect_is_found(road: Road, defect: Defect, provoke: Provocation, broken: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        defect(patch)
        await provoke(road)
    assert set((await audited(road)).counts) >= broken


async def test_nothing_is_found_where_the_same_happens_without_a_defect(road: Road) -> None:
    for provoke in dict.fromkeys(provoke for _, provoke, _ in PLANTED):
        await provoke(road)
        await road.run()
    assert (await audited(road)).kept == []
