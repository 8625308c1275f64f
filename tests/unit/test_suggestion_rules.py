"""Which claims are likely to be about the same damage, however they were typed (domain rule 15)."""

import random
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.suggestions.particulars import Particulars, blocks_of, name_of, particulars_of, place_of, policy_number_of
from services.suggestions.rules import MOST_SUGGESTIONS, Match, best, compare
from shared.contract.events import ClaimContent
from shared.contract.fields import Address, Cause
from shared.contract.suggestions import Reason
from tests.builders.commands import INSURER, NO_CLAIM, NO_TASK
from tests.builders.content import DAY, content, incident, policyholder

pytestmark = pytest.mark.promise(
    "What a temporary claim may belong to is found through typing errors, kept current, and told to its insurer alone.",
    about="reports",
)


def of(written: ClaimContent) -> Particulars:
    assert written.incident is not None
    assert written.policyholder is not None
    return particulars_of(written.incident, written.policyholder, written.policy_number)


def likely(one: ClaimContent, other: ClaimContent) -> bool:
    """Whether the one is suggested for the other: they meet in a block, and enough speaks for it."""
    meet = set(blocks_of(INSURER, of(one))) & set(blocks_of(INSURER, of(other)))
    return bool(meet) and compare(of(one), of(other)).likely_enough


def reasons(one: ClaimContent, other: ClaimContent) -> set[Reason]:
    return {reason for reason, _ in compare(of(one), of(other)).found}


# As it is typed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kirkeveien 12 B, H0201", "kirkevn. 12b H 0201"),
        ("Storgata 3", "Stor gt. 3"),
        ("Storgaten 3", "STORGATE 3"),
        ("Åsvegen 7", "Aasveien 7"),
        ("Øvre Slottsgate 9", "Ovre slottsgt 9"),
        ("Karl Johans gate 3, 2. etg", "Karl Johansgt. 3"),
        ("Storgata 12-14", "Storgata 12"),
        ("Rådhusplassen 1", "Rådhuspl. 1"),
        ("17. mai-gata 5 leil. 4", "17.mai gate 5, leilighet 4"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert reasons(content(street=one), content(street=other)) >= {Reason.SAME_ADDRESS}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Berg, Anne-Lise", "Anne Lise Berg"),
        ("Nordlys Borettslag AS", "NORDLYS BORETTSLAG"),
        ("Åse Næss", "Aase Naess"),
        ("Anne Marie Berg", "Anne Berg"),
    ],
)
def test_a_name_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert Reason.SAME_NAME in reasons(content(name=one), content(name=other))


@pytest.mark.parametrize(
    ("one", "other"), [("Anne Berg", "Anna Borg"), ("Anne Berg", "A. Berg"), ("Annelise Berg", "Anne Lise Berg")]
)
def test_a_name_with_typing_errors_or_initials_is_nearly_the_same(one: str, other: str) -> None:
    assert Reason.SIMILAR_NAME in reasons(content(name=one), content(name=other))


def test_a_policy_number_is_the_same_with_blanks_dashes_and_letters_for_digits() -> None:
    assert policy_number_of("AB-1O2 345") == policy_number_of("ab102.345")


@given(text=st.text(max_size=200))
@settings(deadline=None)
def test_whatever_is_written_can_be_compared(text: str) -> None:
    place_of(Address.model_construct(street=text, postal_code=text, city="", country="NO"))
    assert len(name_of(text)) <= 8


# Likely, and not


_LETTERS = "abcdefghijklmnoprstuvyåø"


def mistyped(text: str, at: int, how: str, letter: str) -> str:
    """Make one typing error in a text."""
    at %= len(text)
    return {
        "wrong": text[:at] + letter + text[at + 1 :],
        "left out": text[:at] + text[at + 1 :],
        "added": text[:at] + letter + text[at:],
        "swapped": text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
    }[how]


@given(
    part=st.sampled_from(["name", "phone", "street", "postal_code", "policy_number"]),
    at=st.integers(0, 30),
    how=st.sampled_from(["wrong", "left out", "added", "swapped"]),
    letter=st.sampled_from(_LETTERS),
    digit=st.sampled_from("0123456789"),
)
@settings(deadline=None, max_examples=500)
def test_one_typing_error_anywhere_never_hides_the_claim(part: str, at: int, how: str, letter: str, digit: str) -> None:
    right: dict[str, Any] = {
        "name": "Anne Berg",
        "phone": "+4791234567",
        "street": "Strandgata 14",
        "postal_code": "5004",
        "policy_number": "8123456",
    }
    typed = digit if part in {"phone", "postal_code", "policy_number"} else letter
    wrong = "+47" + mistyped("91234567", at, how, typed) if part == "phone" else mistyped(right[part], at, how, typed)
    assert likely(content(**right), content(**right | {part: wrong}))


@pytest.mark.parametrize(
    "other",
    [
        content(phone="+4790000001"),
        content(name="Ola Dahl", policy_number="8123456"),
        content(name="Per Berg", phone="+4790000001"),
        content(street="Fjellhytta", postal_code="3580"),
        content(cause=Cause.FLOOD, phone="+4790000001"),
        content(day=DAY - timedelta(days=6), phone="+4790000001"),
        content(day=DAY.replace(year=2025)),
    ],
    ids=["another phone", "another contact", "spouse", "elsewhere", "another cause", "days before", "wrong year"],
)
def test_a_report_of_the_same_damage_by_another_or_elsewhere_is_likely(other: ClaimContent) -> None:
    assert likely(content(policy_number="8123456" if other.policy_number else None), other)


@pytest.mark.parametrize(
    "other",
    [
        content(name="Ola Dahl", phone="+4790000001"),
        content(name="Ola Dahl", phone="+4790000001", policy_number="7654321"),
        content(name="Ola Dahl", phone="+4790000001", street="Strandgata 1 H0302"),
        content(day=DAY - timedelta(days=370)),
        content(day=DAY - timedelta(days=60), cause=Cause.BURGLARY),
        content(name="Per Berg", day=DAY - timedelta(days=60)),
        content(phone="+4790000001", street="Fjellveien 80", postal_code="9012"),
    ],
    ids=["neighbour", "neighbour's policy", "flat", "last year", "other damage", "son's phone bill", "namesake"],
)
def test_neighbours_namesakes_and_other_damages_of_the_same_people_are_not_likely(other: ClaimContent) -> None:
    assert not likely(content(policy_number="8123456" if other.policy_number else None), other)


days = st.dates(date(2025, 1, 1), date(2026, 12, 31))
contents = st.builds(
    content,
    name=st.sampled_from(
        ["Anne Berg", "A. Berg", "Berg, Anna", "Ola Dahl", "Anne Marie Berg", "Marie Anne", "Nordlys AS"]
    ),
    phone=st.sampled_from(["+4791234567", "+4791234576", "+4790000001"]),
    street=st.sampled_from(["Strandgata 1", "Strandgt. 1 B", "Strandgata 2", "Strandveien 1", "Hytta", "1"]),
    postal_code=st.sampled_from(["5004", "5005", "0150"]),
    day=days,
    cause=st.sampled_from(Cause),
    policy_number=st.sampled_from([None, "8123456", "8123465", "77"]),
)


@given(one=contents, other=contents)
@settings(deadline=None)
def test_it_does_not_matter_which_of_two_claims_is_asked_about(one: ClaimContent, other: ClaimContent) -> None:
    assert compare(of(one), of(other)) == compare(of(other), of(one))


@given(one=contents, other=contents)
@settings(deadline=None)
def test_a_claim_is_most_like_itself_and_scores_are_from_1_to_100(one: ClaimContent, other: ClaimContent) -> None:
    match = compare(of(one), of(other))
    assert 1 <= match.score <= compare(of(one), of(one)).score <= 100
    assert match.likely_enough == (match.score >= 50)


def test_claims_of_two_insurers_share_no_block() -> None:
    assert not set(blocks_of("fjord-forsikring", of(content()))) & set(blocks_of("vidde-forsikring", of(content())))


# What is said


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_sentence_in_both_languages(reason: Reason) -> None:
    message = reason.message(3)
    assert message.nb.endswith(".")
    assert message.en.endswith(".")
    assert "{" not in message.nb + message.en


def test_one_day_is_said_as_one() -> None:
    assert Reason.CLOSE_IN_TIME.message(1).nb == "1 dag mellom skadedatoene."
    assert Reason.CLOSE_IN_TIME.message(2).en == "2 days between the incident dates."


def test_the_likeliest_come_first_and_not_more_than_a_handler_reads() -> None:
    weights = [9.0, 15.0, 9.0, 12.0, 19.0, 8.0, 10.0]
    ids = [NO_CLAIM, NO_TASK, *(UUID(int=n) for n in range(5))]
    found = [(id, str(weight), Match(weight, ())) for id, weight in zip(ids, weights, strict=True)]
    random.Random(1).shuffle(found)
    listed = list(best(found))
    assert [s.claim_number for s in listed] == ["19.0", "15.0", "12.0", "10.0", "9.0"]
    assert len(listed) == MOST_SUGGESTIONS
    assert [s.score for s in listed] == sorted((s.score for s in listed), reverse=True)


def test_incident_and_policyholder_of_the_contract_are_taken_as_they_are() -> None:
    particulars = particulars_of(incident(cause=Cause.FIRE), policyholder(), None)
    assert (particulars.incident_date, particulars.cause, particulars.policy_number) == (DAY, Cause.FIRE, "")
