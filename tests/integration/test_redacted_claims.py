"""Redacted claims in the portal: what pages and lists show of one, and which are asked for after a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic_core import from_json

from services.portal.media_store import save_media
from services.portal.read_model import CausedEvent, save
from services.portal.retention import Retention
from services.portal.store import Store
from shared.contract.envelope import Outgoing
from shared.contract.events import ClaimCancelled, ClaimEvent, ClaimRedacted, TaskAssigned
from shared.contract.topics import REQUESTS
from shared.domain.directory import Directory
from tests.builders.content import incident, policyholder
from tests.builders.directory import permitted, takes_effect
from tests.builders.events import about, created, registered, task
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import FJORD, VEST
from tests.integration.conftest import Databases, engine_of
from tests.integration.portal_site import INSURER_S, PARTNER_S, site_on

pytestmark = pytest.mark.promise("Of a redacted claim nothing is left that tells of a person.", about="claims")

PERSONAL = ("Anne", "+47", "912 34", "bærum", "Strandgata", "Det lekker", "Tørket", "a.jpg")


async def keep(store: Store, *events: ClaimEvent) -> None:
    async with store.transaction() as connection:
        await save_media(connection, await save(connection, [CausedEvent(event, "request") for event in events]))


async def test_a_redacted_claims_page_says_so_and_shows_nobody(databases: Databases, tmp_path: Path) -> None:
    async with site_on(await databases.empty("services.portal"), tmp_path) as site:
        claim, other, file = site.known["claim"][0], site.known["claim"][1], site.known["media"][0]
        cancelled = ClaimCancelled(**about(UUID(claim), 3), reason="Anne ringte")
        await keep(site.portal.store, cancelled, ClaimRedacted(**about(UUID(claim), 4)))
        for user in (INSURER_S, PARTNER_S):
            page = await site.page(user, f"/saker/{claim}")
            assert page.status == 200
            assert "Personopplysningene er slettet" in page.text
            assert "Historikk" in page.text
            assert [text for text in (*PERSONAL, "Rett opplysninger") if text in page.text] == []
            assert (await site.page(user, f"/media/{file}")).status == 404
        found = (await site.page(INSURER_S, "/saker?tekst=anne")).text
        assert claim not in found
        assert other in found, "the other one is hers too"
        shown = (await site.page(INSURER_S, "/saker")).text
        assert claim in shown
        assert "Slettet" in shown


NOW = TUESDAY_EVENING + timedelta(days=400)


async def asked(store: Store, days: int, now: datetime = NOW) -> list[tuple[str, str, Any]]:
    """Which requests are sent, by topic and id."""
    directory, sent = permitted("always"), list[Outgoing]()
    if days:
        takes_effect(directory, FJORD, "set-portal-settings", {"forget_after_days": days})

    async def newest() -> Directory:
        return directory

    async def publish(messages: Sequence[Outgoing]) -> None:
        sent.extend(messages)

    assert await Retention(store, newest, publish).ask(now) == len(sent)
    headers = [{name: value.decode() for name, value in message.headers if value} for message in sent]
    assert {each["ce_type"] for each in headers} <= {"claimbus.redact-claim.v1"}
    return [
        (message.topic, each["ce_id"], from_json(message.value or b"")["claim_id"])
        for message, each in zip(sent, headers, strict=True)
    ]


async def test_what_was_kept_for_as_long_as_its_insurer_has_set_is_asked_for_once(databases: Databases) -> None:
    old, busy, temporary, recent, others = (UUID(int=n) for n in range(1, 6))
    person: dict[str, Any] = {"incident": incident(), "policyholder": policyholder()}
    open_task = TaskAssigned(**about(busy, 2), task=task(), claim_number="F-2", **person)
    async with engine_of(await databases.empty("services.portal")) as engine:
        store = Store(engine)
        await keep(
            store,
            created(old),
            ClaimCancelled(**about(old, 2, at=TUESDAY_EVENING + timedelta(days=1))),
            registered(busy, number="F-2"),
            open_task,
            created(temporary, number="Midlertidig 3"),
            registered(recent, number="F-4"),
            ClaimCancelled(**about(recent, 2, at=NOW - timedelta(days=10))),
            registered(others, number="F-5", insurer="nordlys-forsikring", company="nordlys-forsikring"),
        )
        assert await asked(store, days=0) == []
        assert await asked(store, days=400) == [], "something happened to it a day later"
        once = await asked(store, days=399 - 1)
        assert once == [(REQUESTS.of(FJORD), f"retention:{old}:2", str(old))]
        assert await asked(store, days=30) == once
        await keep(store, ClaimRedacted(**about(old, 3, company=VEST)))
        assert await asked(store, days=30, now=datetime(2030, 1, 1, tzinfo=UTC)) == [
            (REQUESTS.of(FJORD), f"retention:{recent}:2", str(recent))
        ]
