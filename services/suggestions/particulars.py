"""A claim's particulars, who, where, when and what, in one spelling however they were typed. No I/O."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict

from shared.contract.fields import REDACTED_PHONE, Address, Cause, Incident, Policyholder


class Place(BaseModel):
    """An address: `Kirkeveien 12 B, H0201` and `kirkevn. 12b H 0201` are the same."""

    model_config = ConfigDict(frozen=True)

    street: str
    """Folded, without blanks, its last word (gate, vei …) as one letter."""
    number: str
    letter: str
    dwelling: str
    postal_code: str


class Particulars(BaseModel):
    """A claim's particulars, each in the form in which it is compared."""

    model_config = ConfigDict(frozen=True)

    incident_date: date
    """The insurer's local date."""
    cause: Cause
    place: Place
    name: tuple[str, ...]
    """The words of the policyholder's name, folded, the family name last."""
    phone: str
    """E.164."""
    policy_number: str
    """Empty where there is none."""


def particulars_of(incident: Incident, policyholder: Policyholder, policy_number: str | None) -> Particulars:
    """Write a claim's particulars in the form in which they are compared; a redacted one's are nobody's."""
    if policyholder.phone == REDACTED_PHONE:
        return of_nobody(incident.date, incident.cause)
    return Particulars(
        incident_date=incident.date,
        cause=incident.cause,
        place=place_of(incident.address),
        name=name_of(policyholder.name),
        phone=policyholder.phone,
        policy_number=policy_number_of(policy_number),
    )


def of_nobody(incident_date: date, cause: Cause) -> Particulars:
    """What is left of a redacted claim's particulars."""
    nowhere = Place(street="", number="", letter="", dwelling="", postal_code="")
    return Particulars(incident_date=incident_date, cause=cause, place=nowhere, name=(), phone="", policy_number="")


def blocks_of(insurer: str, particulars: Particulars) -> list[int]:
    """Name the groups in which a claim is looked for: two claims that share none are never compared.

    Each group can be entered although the other particulars are mistyped. They are signed 64-bit hashes, with the
    insurer in them, so that the index is small and tells nothing about people. A redacted claim is in none.
    """
    if not particulars.phone:
        return []
    return sorted({_hash(insurer, *group) for group in _groups(particulars)})


def place_of(address: Address) -> Place:
    """Take an address apart, as Norwegians write it."""
    text = _folded(address.street)
    dwelling = ""
    if found := _DWELLING.search(text):
        dwelling = (found["unit"] + found["digits"]) if found["unit"] else found["flat"]
        text = text[: found.start()] + " " + text[found.end() :]
    text = _FLOOR.sub(" ", text)
    text = _RANGE.sub(r"\1", text)
    number = letter = ""
    if found := _NUMBER.match(text):
        text, number, letter = found["street"] or "", found["number"].lstrip("0"), found["letter"] or ""
    return Place(
        street=_street(text),
        number=number,
        letter=letter,
        dwelling=dwelling,
        postal_code=_SEPARATORS.sub("", _folded(address.postal_code)),
    )


def name_of(name: str) -> tuple[str, ...]:
    """Take a name apart: `Berg, Anne-Lise` is `Anne Lise Berg`; a company's legal form is left out."""
    family, comma, given = name.partition(",")
    words = [word for word in _SEPARATORS.split(_folded(f"{given} {family}" if comma else name)) if word]
    words = [word for word in words if word not in _LEGAL_FORMS] or words
    return tuple(words[: _MOST_WORDS - 1] + words[_MOST_WORDS - 1 :][-1:])


def policy_number_of(number: str | None) -> str:
    """Leave out what people type between the parts of a policy number, and make O and 0, and I and 1, the same."""
    return _SEPARATORS.sub("", _folded(number or "")).translate(_CONFUSED)


_SEPARATORS = re.compile(r"[\W_]+")
_CONFUSED = str.maketrans("oil", "011")
_LEGAL_FORMS = frozenset({"as", "asa", "ans", "da", "enk"})
_MOST_WORDS = 8
"""Of a longer name the first ones and the last: names are compared word by word."""
_DWELLING = re.compile(r"\b(?:(?P<unit>[hluk]) ?(?P<digits>\d{4})\b|(?:leilighet|leil|lgh|bolig)\W*(?P<flat>\w+))")
_FLOOR = re.compile(r"\b\d+\W*(?:etasje|etg|et)\b\.?")
_RANGE = re.compile(r"(\d+) ?[-–/] ?\d+")
_NUMBER = re.compile(r"(?P<street>.*?\D)??(?<!\d)(?P<number>\d{1,5}) ?(?P<letter>[a-z])?(?![a-z0-9])[\W_]*\Z")
_LAST_WORDS = (
    (re.compile(r"(?:gaten|gata|gate|gt)\Z"), "g"),
    (re.compile(r"(?:veien|vegen|veg|vei|vn|v)\Z"), "v"),
    (re.compile(r"(?:plassen|plass|pl)\Z"), "p"),
    (re.compile(r"(?:alleen|alle)\Z"), "l"),
    (re.compile(r"(?:terrassen|terrasse|terr)\Z"), "t"),
)
_SAME_SOUND = (("ph", "f"), ("h", ""), ("c", "k"), ("q", "k"), ("w", "v"), ("z", "s"), ("x", "ks"))
_VOWELS = re.compile(r"[aeiouy]")
_TWICE = re.compile(r"(.)\1+")
_LONGEST_SKELETON = 6


def _folded(text: str) -> str:
    """Write a text without case and accents; å, ø and æ as people without such keys do."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    text = "".join(c for c in text if not unicodedata.combining(c)).replace("ø", "o").replace("æ", "a")
    return text.replace("aa", "a").replace("oe", "o").replace("ae", "a")


def _street(text: str) -> str:
    street = _SEPARATORS.sub("", text)
    for written, letter in _LAST_WORDS:
        shortened = written.sub(letter, street)
        if shortened != street and len(shortened) > 1:
            return shortened
    return street


def _groups(particulars: Particulars) -> Iterator[tuple[str, ...]]:
    place, name = particulars.place, particulars.name
    yield "phone", particulars.phone
    if particulars.policy_number:
        yield "policy", particulars.policy_number
    street = skeleton(place.street)
    yield "house", place.postal_code, place.number or street
    yield "street", street, place.number or place.postal_code
    for word in {name[0], name[-1]} if name else ():
        yield "name", skeleton(word), place.postal_code
    yield "whole name", *sorted(skeleton(word) for word in name)


@lru_cache(maxsize=10_000)
def skeleton(word: str) -> str:
    """Keep what a typing error seldom changes: the first letter and the consonants, those that sound alike as one."""
    for written, sound in _SAME_SOUND:
        word = word.replace(written, sound)
    return _TWICE.sub(r"\1", word[:1] + _VOWELS.sub("", word[1:]))[:_LONGEST_SKELETON]


def _hash(*words: str) -> int:
    return int.from_bytes(blake2b("\x00".join(words).encode(), digest_size=8).digest(), "big", signed=True)
