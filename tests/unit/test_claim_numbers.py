"""A temporary claim's number: *Midlertidig*, and a code to read over the phone (domain rule 9)."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.claims.batch import Batch, declared_needs
from services.claims.claim_numbers import is_temporary_number, number_keys, temporary_numbers
from shared.contract.codes import Code
from shared.contract.events import LinkStarted
from shared.domain.claim_numbers import number_key
from tests.builders.commands import (
    INSURER,
    OTHER_INSURER,
    PLUMBER,
    SURVEYOR,
    SURVEYOR_OFFICE,
    Desk,
    code_of,
    creation,
    empty_batch,
    facts,
    registration,
)

TODAY = date(2026, 11, 24)
CLAIM = UUID("0b0f6f0c-6f0e-5d9a-8a53-111111111111")
ALIKE = UUID("0b0f6f0c-6f0e-5d9a-8a53-222222222222")
"""The two begin with the same bits, so that their codes are the same."""
ANOTHER = UUID(int=7)


def taken_by_others(insurer: str, numbers: Sequence[str]) -> Batch:
    """Make a record where another claim has these numbers."""
    return empty_batch(numbers={(insurer, number): ANOTHER for number in numbers})


@given(claim_id=st.uuids(), today=st.dates())
@settings(deadline=None)
def test_a_made_number_is_midlertidig_with_the_date_and_a_crockford_code(claim_id: UUID, today: date) -> None:
    for number in temporary_numbers(claim_id, today):
        assert re.fullmatch(rf"Midlertidig {today.isoformat()}-[0-9A-HJKMNP-TV-Z]{{6,}}", number)


@given(claim_id=st.uuids(), today=st.dates())
@settings(deadline=None)
def test_the_numbers_that_a_claim_may_get_differ_and_are_the_same_whenever_they_are_made(
    claim_id: UUID, today: date
) -> None:
    numbers = temporary_numbers(claim_id, today)
    assert len(set(numbers)) == len(numbers) > 1
    assert sorted(numbers, key=len) == numbers
    assert numbers == temporary_numbers(claim_id, today)


@given(claims=st.lists(st.uuids(version=5), min_size=2, max_size=50, unique=True))
@settings(deadline=None)
def test_claims_of_a_day_have_codes_of_their_own(claims: list[UUID]) -> None:
    longest = {temporary_numbers(claim, TODAY)[-1] for claim in claims}
    assert len(longest) == len({claim.int >> 68 for claim in claims})


def test_the_code_is_the_beginning_of_the_claims_id_in_base_32() -> None:
    first_bits = int.from_bytes(CLAIM.bytes[:5]) >> 10
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    code = temporary_numbers(CLAIM, TODAY)[0].rpartition("-")[2]
    assert sum(digits.index(c) << 5 * (5 - n) for n, c in enumerate(code)) == first_bits


def test_the_date_is_the_insurers_local_date() -> None:
    desk = Desk()
    after_midnight_in_oslo = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert "2026-11-25" in desk.create("in-oslo", at=after_midnight_in_oslo).claim_number
    in_new_york = desk.create("in-new-york", at=after_midnight_in_oslo, facts=facts(zone="America/New_York"))
    assert "2026-11-24" in in_new_york.claim_number


def test_a_claim_gets_the_shortest_number_that_is_free() -> None:
    numbers = temporary_numbers(CLAIM, TODAY)
    for taken in range(len(numbers)):
        desk = Desk(taken_by_others(INSURER, numbers[:taken]))
        assert desk.create(claim_id=CLAIM).claim_number == numbers[taken]


def test_claims_whose_codes_collide_get_different_numbers() -> None:
    desk = Desk()
    first, second = desk.create("first", claim_id=CLAIM), desk.create("second", claim_id=ALIKE)
    assert first.claim_number != second.claim_number
    assert second.claim_number.startswith(first.claim_number)


def test_a_number_that_another_insurer_uses_is_free() -> None:
    numbers = temporary_numbers(CLAIM, TODAY)
    desk = Desk(taken_by_others(OTHER_INSURER, numbers))
    assert desk.create(claim_id=CLAIM).claim_number == numbers[0]


def test_a_claim_for_which_no_number_is_free_is_refused() -> None:
    desk = Desk(taken_by_others(INSURER, temporary_numbers(CLAIM, TODAY)))
    assert code_of(desk.decide(creation(claim_id=CLAIM))) is Code.CLAIM_NUMBER_TAKEN


def test_a_number_that_a_partner_defines_is_midlertidig_with_that_number_and_no_other() -> None:
    assert temporary_numbers(CLAIM, TODAY, "77/2026") == ["Midlertidig 77/2026"]
    assert Desk().create(claim_number="77/2026").claim_number == "Midlertidig 77/2026"


def test_two_partners_cannot_define_the_same_number_for_an_insurer() -> None:
    desk = Desk()
    desk.create(company=PLUMBER, claim_number="77")
    second = creation(company=SURVEYOR, office=SURVEYOR_OFFICE, claim_number="77")
    assert code_of(desk.decide(second)) is Code.CLAIM_NUMBER_TAKEN


def test_a_number_that_a_partner_defines_as_another_claims_code_leaves_that_claim_a_longer_one() -> None:
    desk = Desk()
    made = temporary_numbers(CLAIM, TODAY)[0]
    desk.create("first", claim_number=made.removeprefix("Midlertidig "))
    assert desk.create("second", claim_id=CLAIM).claim_number == temporary_numbers(CLAIM, TODAY)[1]


@given(claim_id=st.uuids(), defined=st.none() | st.text(min_size=1, max_size=20))
@settings(deadline=None)
def test_every_temporary_claims_number_is_recognised_as_one(claim_id: UUID, defined: str | None) -> None:
    assert all(is_temporary_number(number) for number in temporary_numbers(claim_id, TODAY, defined))


@pytest.mark.parametrize("number", ["SK-1", "2026-11-24-ABC123", "midler", "tidig"])
def test_an_insurers_own_number_is_not_a_temporary_one(number: str) -> None:
    assert not is_temporary_number(number)


# One number is one number, however it is written

SPELLINGS = [
    "Å-17 Bergen",
    "A\u030a-17 Bergen",
    "å-17 bergen",
    "a\u030a-17 BERGEN",
    " Å-17\u00a0 Bergen ",
    "Å-17\tBergen",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_is_taken_by_every_spelling_of_it(spelling: str) -> None:
    desk = Desk()
    desk.register("Å-17 Bergen")
    temporary = desk.create()
    assert code_of(desk.decide(registration(spelling, "another"))) is Code.CLAIM_NUMBER_TAKEN
    converted = desk.ask(temporary, "convert-to-normal", INSURER, claim_number=spelling, handler="kari")
    assert code_of(converted) is Code.CLAIM_NUMBER_TAKEN


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_link_finds_its_target_by_every_spelling_of_its_number(spelling: str) -> None:
    desk = Desk()
    target = desk.register("Å-17 Bergen")
    started = desk.ask(desk.create(), "link-claim", INSURER, target_claim_number=spelling).events[0]
    assert isinstance(started, LinkStarted)
    assert started.target_claim_id == target.id


@pytest.mark.parametrize("spelling", ["Å 7", "A\u030a 7", "å  7"])
def test_a_number_that_a_partner_defines_is_taken_by_every_spelling_of_it(spelling: str) -> None:
    desk = Desk()
    desk.create("first", claim_number="Å 7")
    assert code_of(desk.decide(creation("second", claim_number=spelling))) is Code.CLAIM_NUMBER_TAKEN


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_decides_is_found_in_the_record_by_every_spelling(spelling: str) -> None:
    command = registration(spelling)
    numbers = declared_needs([command])[command.key].numbers
    assert (INSURER, "å-17 bergen") in {key for number in numbers for key in number_keys(*number)}


def test_a_number_is_shown_as_it_was_written_in_nfc() -> None:
    assert Desk().register(" A\u030a-17  b").claim_number == "Å-17  b"


def test_of_two_old_claims_with_one_number_each_is_found_by_its_own_spelling() -> None:
    """Before numbers were compared like this, an insurer could have both."""
    desk = Desk(empty_batch(numbers={(INSURER, "sk-1"): CLAIM, (INSURER, "SK-1"): ANOTHER}))
    for spelling, id in (("sk-1", CLAIM), ("Sk-1", CLAIM), ("SK-1", ANOTHER)):
        assert desk.batch.holder_of(INSURER, spelling) == id


@given(st.text(min_size=1, max_size=20))
@settings(deadline=None)
def test_every_spelling_of_a_number_is_the_same_number(number: str) -> None:
    key = number_key(number)
    assert number_key(key) == key
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, number)
        for spelling in (written, f"  {written} ", written.replace(" ", " \u00a0")):
            assert number_key(spelling) == key
