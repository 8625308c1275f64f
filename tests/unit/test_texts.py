"""One text is one text, however it was typed: kept, compared, searched and sorted."""

import random
import unicodedata
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.portal.listing import Filter
from services.portal.read_model import words
from services.suggestions.particulars import name_of, place_of, policy_number_of
from shared.contract.fields import Address
from shared.contract.texts import alphabetical, by_name, composed, folded
from tests.properties import no_deadline

FORMS: list[Any] = ["NFC", "NFD"]
letters = st.text(st.sampled_from("AaBÅåØøÆæÖöÉéÑñǾǿΣσςßİı 1-,.Ωж"), max_size=20)


class Named(NamedTuple):
    name: str


@no_deadline
@given(letters | st.text(max_size=20))
def test_a_text_is_the_same_in_whichever_form_and_case_it_is_typed(text: str) -> None:
    spellings = [unicodedata.normalize(form, text) for form in FORMS]
    for written in (composed, folded, words, alphabetical, lambda typed: Filter(text=typed).readings):
        assert written(spellings[0]) == written(spellings[1])
    assert composed(text) == unicodedata.normalize("NFC", text)
    assert folded(folded(text)) == folded(text)
    assert folded(text) == folded(text.casefold())


@no_deadline
@given(letters)
def test_a_claim_is_matched_in_whichever_form_its_texts_are(text: str) -> None:
    def of(form: Any) -> object:
        typed = unicodedata.normalize(form, text)
        address = Address(street=f"x{typed}", postal_code=f"1{typed}", city="x")
        return name_of(typed), place_of(address), policy_number_of(typed)

    assert of("NFC") == of("NFD")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("typed_text", ["Ålesund", "ÅLESUND", "ålesund"])
def test_alesund_is_found_however_it_is_typed_and_stored(typed_text: str, form: Any) -> None:
    for stored in FORMS:
        [found] = Filter(text=unicodedata.normalize(form, typed_text)).readings
        assert set(found) == words(unicodedata.normalize(stored, "Ålesund"))


def test_a_list_of_names_is_in_the_order_of_the_norwegian_alphabet() -> None:
    names = [
        "Adam",
        "bergen",
        "Čapek",
        "Dahl",
        "de Wit",
        "Élan",
        "Vest 2",
        "Voss",
        "Zakarias",
        "Ægir",
        "Øst",
        "Öst",
        "Åse",
    ]
    for form in FORMS:
        mixed = [Named(unicodedata.normalize(form, name)) for name in names]
        random.Random(7).shuffle(mixed)
        assert [composed(each.name) for each in by_name(mixed)] in (
            names,
            [*names[:-3], "Öst", "Øst", "Åse"],  # the two are one letter
        )
