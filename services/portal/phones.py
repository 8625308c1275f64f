"""Phone numbers: as people write and paste them, as the contract has them (E.164), and as they are shown. Pure."""

import re
import unicodedata

from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    format_number,
    is_possible_number,
    is_valid_number,
    national_significant_number,
    parse,
)

from services.portal.words import marked

NORWAY = "NO"
_NORWEGIAN = 47
_SHORT = 5
"""How many digits numbers such as 02345 have, which can be called within Norway alone."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NORWEGIAN_E164 = re.compile(r"\+47([0-9]{8})")
_ABROAD = re.compile(r"^(tel:)?\(?(\+|00)")
_IN_FULL = re.compile(r"^(\(?)00")
"""What is dialled before a country code, in Europe."""
_NUMBER = re.compile(r"(tel:)?[-+()./\s\d]*")
NOT_A_NUMBER = marked("Skriv et telefonnummer, utenlandske med landkode: +46 70 123 45 67.")
_TOO_SHORT = marked("Et femsifret nummer kan ikke brukes. Skriv det åttesifrede nummeret.")
_EXTENSION = marked("Et internnummer kan ikke tas med. Skriv nummeret uten, og internnummeret i beskrivelsen.")


class WrongPhone(Exception):
    """What was typed is no number that somebody can be called at; its text says why, in Norwegian."""


def e164(text: str, region: str) -> str:
    """Take a number as it is written, in `region` (ISO 3166-1) where it has no country code. Raises WrongPhone.

    A number that is in E.164 already is taken even where the library does not know it: a company's system has sent it,
    and what else is wrong with that claim can be corrected.
    """
    plain = plainly_written(text)
    number = _parsed(plain, region)
    if number is None:
        raise WrongPhone(NOT_A_NUMBER)
    if number.extension:
        raise WrongPhone(_EXTENSION)
    if not (_E164.fullmatch(plain) and is_possible_number(number)):
        if number.country_code == _NORWEGIAN and len(national_significant_number(number)) == _SHORT:
            raise WrongPhone(_TOO_SHORT)
        if not is_valid_number(number):
            raise WrongPhone(NOT_A_NUMBER)
    return format_number(number, PhoneNumberFormat.E164)


def shown(phone: str) -> str:
    """Write a number in groups, as its country does, with the country code."""
    number = _parsed(phone, None)
    is_number = number is not None and is_valid_number(number)
    return format_number(number, PhoneNumberFormat.INTERNATIONAL) if number is not None and is_number else phone


def findable(phone: str) -> list[str]:
    """The digits by which a number in E.164 is found: with the country code, and as its own country dials it."""
    if norwegian := _NORWEGIAN_E164.fullmatch(phone):  # dialled as it is; the library takes thirty times as long
        return [phone[1:], norwegian[1]]
    number = _parsed(phone, None)
    national = "" if number is None else format_number(number, PhoneNumberFormat.NATIONAL)
    return [digits for digits in (_digits(phone), _digits(national)) if digits]


def sought(text: str) -> str | None:
    """The digits of a number that is looked for, or of its beginning; None for a text that is none."""
    plain = plainly_written(text)
    if not _NUMBER.fullmatch(plain) or not _digits(plain):
        return None
    number = _parsed(plain, None) if _ABROAD.match(plain) else None
    if number is not None and is_possible_number(number):
        return _digits(format_number(number, PhoneNumberFormat.E164))
    return _digits(re.sub(_ABROAD, "", plain, count=1))


def plainly_written(text: str) -> str:
    """What was typed or pasted with ordinary spaces and digits, without the marks that turn the writing around."""
    return " ".join("".join(map(_plainly, unicodedata.normalize("NFKC", text))).split())


def _plainly(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return {"Cf": "", "Pd": "-"}.get(category, char)


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return parse(_IN_FULL.sub(r"\1+", text), region)
    except NumberParseException:
        return None


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())
