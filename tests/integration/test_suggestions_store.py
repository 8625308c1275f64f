"""Suggestions on a real PostgreSQL: kept current as claims come in on either side, by one instance or more."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.suggestions.app import lists_after
from services.suggestions.batch import read_event
from services.suggestions.rules import MOST_SUGGESTIONS
from services.suggestions.store import MOST_OF_A_BLOCK, Store, suggestions_for
from shared.contract.envelope import Outgoing
from shared.contract.events import ClaimContent, ClaimEvent
from shared.contract.fields import Cause
from shared.contract.suggestions import LinkSuggested, Reason
from shared.contract.topics import LINK_SUGGESTIONS
from shared.errors import Misconfigured
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from shared.storage.migrations import migrate
from tests.builders.commands import OTHER_INSURER
from tests.builders.content import DAY, content
from tests.builders.events import ClaimHistory, record
from tests.integration.conftest import Databases


class Instance:
    """An instance of the service, without its topics: events in, lists out."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
        self.store = Store(self.engine)
        self.newest_lists: dict[UUID, LinkSuggested] = {}
        """The newest list of each claim, as a reader keeps them."""

    async def take(self, *events: ClaimEvent) -> list[Outgoing]:
        caused = [caused for event in events if (caused := read_event(record(event)))]
        async with self.store.transaction({message.event.insurer for message in caused}) as transaction:
            messages = await lists_after(transaction, caused)
        for message in messages:
            assert message.topic == LINK_SUGGESTIONS.name
            newest = LinkSuggested.model_validate_json(message.value)
            assert message.key == str(newest.claim_id)
            last = self.newest_lists.get(newest.claim_id)
            if last is None or newest.revision > last.revision:
                self.newest_lists[newest.claim_id] = newest
        return messages

    def suggested(self, claim: ClaimHistory) -> list[UUID]:
        """The claims that are suggested for a claim now."""
        newest = self.newest_lists.get(claim.id)
        return [suggestion.claim_id for suggestion in newest.suggestions] if newest else []


@pytest.fixture
async def url(databases: Databases) -> str:
    """An empty database."""
    return await databases.empty("services.suggestions")


@pytest.fixture
async def instance(url: str) -> AsyncIterator[Instance]:
    instance = Instance(url)
    yield instance
    await instance.engine.dispose()


@pytest.mark.parametrize("normal_first", [True, False])
async def test_a_temporary_claim_gets_the_normal_one_whichever_comes_first(
    instance: Instance, normal_first: bool
) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    registered, created = normal.registered(), temporary.created()
    for event in (registered, created) if normal_first else (created, registered):
        await instance.take(event)
    (suggestion,) = instance.newest_lists[temporary.id].suggestions
    assert suggestion.claim_id == normal.id
    assert suggestion.claim_number == registered.claim_number
    assert {Reason.SAME_PHONE, Reason.SAME_ADDRESS, Reason.SAME_NAME} <= {r.code for r in suggestion.reasons}


async def test_nothing_is_suggested_of_another_insurer_nor_of_temporary_claims(instance: Instance) -> None:
    temporary = ClaimHistory()
    assert not await instance.take(
        temporary.created(), ClaimHistory().created(), ClaimHistory(insurer=OTHER_INSURER).registered()
    )
    assert instance.suggested(temporary) == []


async def test_a_converted_claim_gets_no_more_suggestions_and_becomes_one(instance: Instance) -> None:
    normal, first, second = ClaimHistory(), ClaimHistory(), ClaimHistory()
    await instance.take(normal.registered(), first.created(), second.created())
    assert instance.suggested(first) == instance.suggested(second) == [normal.id]
    await instance.take(first.converted())
    assert instance.suggested(first) == []
    assert set(instance.suggested(second)) == {normal.id, first.id}


async def test_a_cancelled_claim_is_suggested_no_more(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    await instance.take(normal.registered(), temporary.created())
    await instance.take(normal.cancelled())
    assert instance.suggested(temporary) == []


async def test_a_link_ends_the_suggestions_and_taking_it_back_brings_them_again(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    await instance.take(normal.registered(), temporary.created())
    await instance.take(temporary.linked(normal.id))
    assert instance.suggested(temporary) == []
    await instance.take(temporary.unlinked(normal.id))
    assert instance.suggested(temporary) == [normal.id]


async def test_amending_either_claim_brings_suggestions_and_takes_them_away(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    elsewhere = content(name="Ola Dahl", phone="+4790000001", street="Storgata 5", postal_code="9012")
    await instance.take(normal.registered(elsewhere), temporary.created())
    assert instance.suggested(temporary) == []
    await instance.take(normal.amended(**{n: getattr(content(), n) for n in ("incident", "policyholder")}))
    assert instance.suggested(temporary) == [normal.id]
    await instance.take(temporary.amended(incident=elsewhere.incident, policyholder=elsewhere.policyholder))
    assert instance.suggested(temporary) == []


async def test_a_list_that_stays_the_same_is_not_sent_again(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    await instance.take(normal.registered(), temporary.created())
    assert not await instance.take(temporary.amended(policyholder=content().policyholder))
    assert not await instance.take(
        ClaimHistory().registered(content(phone="+4790000001", name="Per Lie", street="Åsveien 7"))
    )


async def test_a_batch_that_is_repeated_sends_the_same_again_unless_it_is_outdated(instance: Instance) -> None:
    normal, temporary, later = ClaimHistory(), ClaimHistory(), ClaimHistory()
    events = [normal.registered(), temporary.created()]
    first = await instance.take(*events)
    assert len(first) == 1
    assert await instance.take(*events) == first
    second = await instance.take(later.registered())
    assert len(second) == 1
    assert await instance.take(*events) == []
    (before, after) = (LinkSuggested.model_validate_json(message.value).revision for message in (*first, *second))
    assert after > before
    assert dict(second[0].headers)["ce_id"] == f"{temporary.id}/suggestions/{after}".encode()


async def test_a_list_is_newer_than_those_before_the_claims_were_forgotten_and_read_again(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    events = [normal.registered(), temporary.created()]
    (before,) = await instance.take(*events)
    await _empty(instance, "claims", "blocks", "matches")
    await instance.take(events[1])
    assert instance.suggested(temporary) == []
    await instance.take(events[0])
    assert instance.suggested(temporary) == [normal.id]
    await _empty(instance, "claims", "blocks", "matches", "suggestions")
    (after,) = await instance.take(*events)
    assert instance.newest_lists[temporary.id] == LinkSuggested.model_validate_json(after.value)
    assert before != after


async def test_the_sixth_comes_up_when_one_of_the_five_goes(instance: Instance) -> None:
    temporary, normals = ClaimHistory(), [ClaimHistory() for _ in range(MOST_SUGGESTIONS + 1)]
    days = [content(day=DAY - timedelta(days=n)) for n in range(len(normals))]
    await instance.take(temporary.created(), *(n.registered(day) for n, day in zip(normals, days, strict=True)))
    assert set(instance.suggested(temporary)) == {n.id for n in normals[:MOST_SUGGESTIONS]}
    await instance.take(normals[0].cancelled())
    assert set(instance.suggested(temporary)) == {n.id for n in normals[1:]}


async def test_of_hundreds_with_one_phone_number_those_of_the_same_days_are_found(instance: Instance) -> None:
    shared = "+4755000000"
    others = [
        content(name=f"Leietaker Nummer{n}", phone=shared, street=f"Gate{n} {n}", day=DAY - timedelta(days=200 + n))
        for n in range(MOST_OF_A_BLOCK * 3)
    ]
    right, temporary = ClaimHistory(), ClaimHistory()
    await instance.take(
        *(ClaimHistory().registered(other) for other in others), right.registered(content(phone=shared))
    )
    await instance.take(temporary.created(content(phone=shared, street="Strandgaten 1")))
    assert instance.suggested(temporary) == [right.id]


async def test_the_order_in_which_claims_come_in_makes_no_difference(url: str, instance: Instance) -> None:
    chance = random.Random(20261124)
    claims = [(ClaimHistory(id=UUID(int=n)), _random_content(chance), chance.random() < 0.5) for n in range(1, 120)]
    events: list[list[ClaimEvent]] = []
    for claim, written, temporary in claims:
        history: list[ClaimEvent] = [claim.created(written) if temporary else claim.registered(written)]
        if chance.random() < 0.3:
            history.append(claim.amended(policyholder=_random_content(chance).policyholder))
        if chance.random() < 0.2:
            history.append(claim.cancelled())
        events.append(history)
    final: list[dict[UUID, list[UUID]]] = []
    for attempt in range(4):
        await _empty(instance, "claims", "blocks", "matches", "suggestions")
        instance.newest_lists.clear()
        waiting = [list(history) for history in events]
        while any(waiting):
            batch = []
            for _ in range(chance.choice([1, 7, 50])):
                history = chance.choice([w for w in waiting if w] or [[]])
                if history:
                    batch.append(history.pop(0))
            await instance.take(*batch)
        final.append({claim.id: instance.suggested(claim) for claim, _, _ in claims})
        assert sum(map(len, final[-1].values())) > 50, attempt
    assert all(other == final[0] for other in final)


async def test_two_instances_with_a_pair_in_two_partitions_do_not_miss_it(url: str, instance: Instance) -> None:
    other = Instance(url)
    pairs = [
        (
            ClaimHistory(),
            ClaimHistory(),
            content(name=f"Navn{n} Etternavn{n}", phone=f"+479{n:07}", street=f"Vei{n} {n + 1}"),
        )
        for n in range(60)
    ]
    for temporary, normal, written in pairs:
        await asyncio.gather(instance.take(temporary.created(written)), other.take(normal.registered(written)))
    await other.engine.dispose()
    for temporary, normal, _ in pairs:
        assert normal.id in instance.suggested(temporary) + other.suggested(temporary)


async def test_a_missing_event_stops_the_service_and_leaves_all_as_it_was(instance: Instance) -> None:
    normal, temporary = ClaimHistory(), ClaimHistory()
    await instance.take(normal.registered(), temporary.created())
    normal.amended(policy_number="77")
    with pytest.raises(Misconfigured, match="rebuild suggestions"):
        await instance.take(ClaimHistory().registered(), normal.cancelled())
    assert instance.suggested(temporary) == [normal.id]
    (suggested,) = await suggestions_for(instance.url, str(normal.id))
    assert suggested.claim.version == 1


async def test_an_operator_finds_a_claim_by_id_and_by_number_of_one_insurer(instance: Instance) -> None:
    same = uuid4()
    ours, theirs = ClaimHistory(id=same), ClaimHistory(insurer=OTHER_INSURER)
    theirs.id = UUID(int=same.int ^ 1)  # its number has the same first digits
    await instance.take(ours.created())
    await instance.take(theirs.created(), ClaimHistory(insurer=OTHER_INSURER).registered(content(cause=Cause.STORM)))
    number = f"Midlertidig {same.hex[:8]}"
    assert {a.claim.id for a in await suggestions_for(instance.url, number)} == {ours.id, theirs.id}
    (suggested,) = await suggestions_for(instance.url, number, OTHER_INSURER)
    assert suggested.published is not None
    assert Reason.RELATED_CAUSE in {r.code for r in suggested.published.suggestions[0].reasons}
    (suggested,) = await suggestions_for(instance.url, str(ours.id))
    assert suggested.published is None
    assert await suggestions_for(instance.url, "no such claim") == []


async def _empty(instance: Instance, *tables: str) -> None:
    async with instance.engine.begin() as connection:
        await connection.exec_driver_sql(f"truncate {', '.join(tables)}")


def _random_content(chance: random.Random) -> ClaimContent:
    return content(
        name=f"{chance.choice(['Anne', 'Ola', 'Kari'])} {chance.choice(['Berg', 'Dahl', 'Lie'])}",
        phone=f"+479123456{chance.randrange(6)}",
        street=f"{chance.choice(['Strandgata', 'Storgata', 'Åsveien'])} {chance.randrange(1, 4)}",
        day=DAY - timedelta(days=chance.choice([0, 0, 1, 5, 20, 100])),
        cause=chance.choice([Cause.WATER, Cause.STORM]),
    )


async def test_a_claim_is_found_by_every_spelling_of_its_number(instance: Instance) -> None:
    normal = ClaimHistory()
    registered = normal.registered()
    await instance.take(registered.model_copy(update={"claim_number": "Å-17 Bergen"}))
    for spelling in ("Å-17 Bergen", "A\u030a-17 bergen", " å-17  BERGEN"):
        (suggested,) = await suggestions_for(instance.url, spelling)
        assert suggested.claim.id == normal.id


async def test_claims_from_before_an_upgrade_are_found_by_every_spelling_too(instance: Instance) -> None:
    normal = ClaimHistory()
    await instance.take(normal.registered().model_copy(update={"claim_number": "SK  1"}))
    async with instance.engine.begin() as connection:
        await connection.execute(text("alter table claims drop column number_key"))
        await connection.execute(text("drop table positions"))
        await connection.execute(text("update alembic_version set version_num = '0001'"))
    await migrate(instance.engine, "services.suggestions")
    (suggested,) = await suggestions_for(instance.url, "sk 1")
    assert suggested.claim.id == normal.id
