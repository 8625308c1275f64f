"""What *Historikk* says of a correction: each field that is another one, before and after (domain rule 14)."""

from datetime import date
from uuid import uuid4

from services.portal.corrections import corrections
from shared.contract.events import ClaimAmended, ClaimContent
from shared.contract.fields import Cause
from tests.builders.content import address, incident, policyholder
from tests.builders.events import about

INCIDENT = incident(description="Våt kjeller")
ANNE = policyholder(email="anne@example.com")


def corrected(before: ClaimContent, after: ClaimContent) -> list[tuple[str, object, object]]:
    """The corrected fields of an event as it comes from the topic."""
    amended = ClaimAmended(**about(uuid4(), 2), before=before, after=after)
    read = ClaimAmended.model_validate_json(amended.json_bytes())
    return [(each.field, each.before, each.after) for each in corrections(read)]


def test_each_corrected_field_is_told_with_what_it_was_and_what_it_is() -> None:
    after = incident(day=date(2026, 11, 22), cause=Cause.FLOOD, description="Våt kjeller", city="Voss")
    assert corrected(ClaimContent(incident=INCIDENT), ClaimContent(incident=after)) == [
        ("Skadedato", date(2026, 11, 23), date(2026, 11, 22)),
        ("Årsak", Cause.WATER, Cause.FLOOD),
        ("Skadested", address(), address(city="Voss")),
    ]


def test_what_was_not_written_before_or_is_no_longer_is_told_too() -> None:
    without = ANNE.model_copy(update={"email": None})
    before = ClaimContent(policyholder=ANNE, policy_number=None)
    assert corrected(before, ClaimContent(policyholder=without, policy_number="P-1")) == [
        ("E-post", "anne@example.com", None),
        ("Polisenummer", None, "P-1"),
    ]


def test_a_part_that_was_not_sent_is_as_it_was() -> None:
    assert corrected(ClaimContent(policyholder=ANNE), ClaimContent(policyholder=ANNE)) == []
