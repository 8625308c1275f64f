"""Whose claims are found, however a name, a number or an address is typed."""

import pytest

from services.claims.people import Person, policyholders
from tests.builders.content import content, policyholder
from tests.builders.events import ClaimHistory

AASE = policyholder(name="Åse-Marit Øygard", phone="+4799887766", email="Aase@example.no")


@pytest.mark.parametrize(
    "person",
    [
        Person(name="åse-marit øygard"),
        Person(name="ØYGARD"),
        Person(name="A\u030ase-Marit"),
        Person(phone="99887766"),
        Person(phone="+47 998 87 766"),
        Person(phone="0047 99887766"),
        Person(email=" aase@EXAMPLE.no "),
        Person(name="Øygard", phone="99887766", email="aase@example.no"),
    ],
    ids=str,
)
def test_somebody_is_found_as_people_type(person: Person) -> None:
    assert person.fits(AASE)


@pytest.mark.parametrize(
    "person",
    [
        Person(name="Øygard", phone="99887767"),
        Person(name="Øy"),
        Person(phone="9988776"),
        Person(phone="87766"),
        Person(email="aase@example"),
    ],
    ids=str,
)
def test_who_fits_in_a_part_alone_is_somebody_else(person: Person) -> None:
    assert not person.fits(AASE)


def test_who_was_the_policyholder_before_a_correction_is_found_too() -> None:
    claim = ClaimHistory()
    history = [claim.created(content(name="Anne Berg")), claim.amended(policyholder=AASE)]
    assert [each.name for each in policyholders(history)] == ["Anne Berg", AASE.name]
