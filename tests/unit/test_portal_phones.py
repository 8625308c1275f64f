"""Phone numbers as people write, paste and look for them."""

import contextlib

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from services.portal.forms import WrongForm
from services.portal.phones import WrongPhone, e164, findable, shown, sought
from tests.properties import no_deadline
from tests.unit.test_portal_forms import creation

NORDIC = ("NO", "SE", "DK", "FI", "IS", "FO", "GL", "AX", "SJ")
SPACES = [" ", "\u00a0", "\u2009", "\u202f", "\u200a", "\u2002", "  ", "\t"]
DASHES = ["-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\uff0d"]
SURROUNDINGS = [
    ("", ""),
    ("\u202a", "\u202c"),
    ("\u202b", "\u202c"),
    ("\u2066", "\u2069"),
    ("\u200e", ""),
    ("\ufeff", "\u200b"),
]
DIGITS = ["0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19", "٠١٢٣٤٥٦٧٨٩"]


def numbers() -> list[tuple[str, phonenumbers.PhoneNumber]]:
    """The library's examples of what people have, with their regions."""
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    found = [(region, phonenumbers.example_number_for_type(region, kind)) for region in NORDIC for kind in kinds]
    return [(region, number) for region, number in found if number is not None]


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str, str]:
    """A region, a number of it in E.164, and the number as somebody writes or pastes it."""
    region, number = draw(st.sampled_from(numbers()))
    forms = (
        PhoneNumberFormat.E164,
        PhoneNumberFormat.INTERNATIONAL,
        PhoneNumberFormat.NATIONAL,
        PhoneNumberFormat.RFC3966,
    )
    form = draw(st.sampled_from(forms))
    text = phonenumbers.format_number(number, form)
    if text.startswith("+"):
        code, _, rest = text[1:].partition(" ")
        text = draw(st.sampled_from(["+{} {}", "00{} {}", "00 {} {}", "\uff0b{} {}", "(+{}) {}", "tel:+{}-{}"])).format(
            code, rest
        )
    text = text.replace(" ", draw(st.sampled_from([*SPACES, *DASHES])))
    text = text.replace("-", draw(st.sampled_from(DASHES)))
    text = text.translate(str.maketrans(DIGITS[0], draw(st.sampled_from(DIGITS))))
    before, behind = draw(st.sampled_from(SURROUNDINGS))
    return region, phonenumbers.format_number(number, PhoneNumberFormat.E164), f"{before}{text}{behind}"


@no_deadline
@given(written())
def test_however_a_number_is_written_it_is_the_same_number(number: tuple[str, str, str]) -> None:
    region, phone, text = number
    assert e164(text, region) == phone, ascii(text)


@no_deadline
@given(written())
def test_however_a_number_is_looked_for_it_is_found(number: tuple[str, str, str]) -> None:
    _, phone, text = number
    assert sought(text) in findable(phone), ascii(text)


@no_deadline
@given(st.from_regex(r"\+47[0-9]{8}", fullmatch=True))
def test_a_norwegian_number_is_found_by_what_the_library_would_dial(phone: str) -> None:
    dialled = phonenumbers.format_number(phonenumbers.parse(phone), PhoneNumberFormat.NATIONAL)
    assert findable(phone) == [phone[1:], dialled.replace(" ", "")]


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("\u202a+47 912\u201134\u2011567\u202c", "+4791234567"),
        ("tel:+47-912-34-567", "+4791234567"),
        ("tel:91234567;phone-context=+47", "+4791234567"),
        ("0047 912–34–567", "+4791234567"),
        ("(+46) 70 123 45 67", "+46701234567"),
        ("+358 (0)40 123 4567", "+358401234567"),
        ("tlf. 912 34 567", "+4791234567"),
        ("815 49 300", "+4781549300"),
        ("+4712345678", "+4712345678"),
    ],
)
def test_a_number_is_called_as_it_was_meant(text: str, phone: str) -> None:
    assert creation(**{"policyholder.phone": text}).policyholder.phone == phone


def test_a_number_without_a_country_code_is_of_the_insurer_s_country() -> None:
    assert e164("070-123 45 67", "SE") == "+46701234567"
    assert e164("32 12 34 56", "DK") == "+4532123456"
    with pytest.raises(WrongPhone):
        e164("070-123 45 67", "NO")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("02345", "femsifret"),
        ("+47 02345", "femsifret"),
        ("912 34 567 ext. 12", "internnummer"),
        ("912 34 567 x12", "internnummer"),
        ("110", "Skriv et telefonnummer"),
        ("912 34 56", "Skriv et telefonnummer"),
        ("912 34 567 / 987 65 432", "Skriv et telefonnummer"),
        ("+47 123 45 678", "Skriv et telefonnummer"),
        ("+4512345", "Skriv et telefonnummer"),
        ("kommer", "Skriv et telefonnummer"),
        ("\u202a", "Skriv et telefonnummer"),
        ("9" * 5000, "Skriv et telefonnummer"),
    ],
)
def test_what_nobody_can_be_called_at_is_told_at_its_field(text: str, problem: str) -> None:
    with pytest.raises(WrongForm) as wrong:
        creation(**{"policyholder.phone": text})
    assert problem in wrong.value.problems["policyholder.phone"]


def test_a_number_is_shown_in_its_country_s_groups() -> None:
    assert shown("+442079460958") == "+44 20 7946 0958"
    assert shown("+46701234567") == "+46 70 123 45 67"
    assert shown("+4712345678") == "+4712345678"


@pytest.mark.parametrize("text", ["F-100", "berg", "", "-", "tel:", "912 x"])
def test_a_text_that_is_no_number_is_looked_for_by_its_words_alone(text: str) -> None:
    assert sought(text) is None


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_number_or_is_refused(text: str) -> None:
    sought(text)
    with contextlib.suppress(WrongPhone):
        phone = e164(text, "NO")
        assert e164(phone, "NO") == phone
