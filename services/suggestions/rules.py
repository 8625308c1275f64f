"""How likely it is that two claims are about the same damage, and why. No I/O, no clock.

Who and where (policy number, phone, address, name) is one kind of evidence, when and what (date, cause) another, and
both must be there: a neighbour in the same storm has the second without the first, a policyholder's claim of last year
the first without the second. So what identity can add is bounded, and a date far off outweighs all of it. The weights
are like bits: each is about how many times likelier it is among two reports of one damage than among two of others.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from rapidfuzz.distance import OSA

from services.suggestions.particulars import Particulars, Place
from shared.contract.fields import Cause
from shared.contract.suggestions import Reason, Suggestion, SuggestionReason

LIKELY_ENOUGH = 8.0
"""Below this weight nothing is suggested; at it, the score is 50."""
MOST_SUGGESTIONS = 5

_MOST_OF_IDENTITY = 14.0
_STEEPNESS = 0.35
_CLOSE_DAYS = 14
_SHORTEST_WITH_TYPING_ERROR = 6


class Found(NamedTuple):
    """One thing that two claims have in common; `days` where it is about their dates."""

    reason: Reason
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What was found by comparing two claims."""

    weight: float
    found: tuple[Found, ...]

    @property
    def likely_enough(self) -> bool:
        """Whether it is worth a claims handler's look."""
        return self.weight >= LIKELY_ENOUGH

    @property
    def score(self) -> int:
        """The weight as a number from 1 to 100."""
        return max(1, round(100 / (1 + math.exp(-_STEEPNESS * (self.weight - LIKELY_ENOUGH)))))


def compare(one: Particulars, other: Particulars) -> Match:
    """Weigh what two claims have in common; it does not matter which is which."""
    identity = (
        _policy_numbers(one.policy_number, other.policy_number),
        _phones(one.phone, other.phone),
        _places(one.place, other.place),
        _names(one.name, other.name),
    )
    incident = (_dates(one, other), _causes(one.cause, other.cause))
    weight = min(_MOST_OF_IDENTITY, sum(w for w, _ in identity)) + sum(w for w, _ in incident)
    return Match(weight, tuple(found for _, found in (*identity, *incident) if found is not None))


def best(matches: Iterable[tuple[UUID, str, Match]]) -> Iterator[Suggestion]:
    """Choose what is suggested: the likeliest first, and of equal ones always the same first."""
    ranked = sorted(matches, key=lambda m: (-m[2].weight, m[0]))
    for claim_id, claim_number, match in ranked[:MOST_SUGGESTIONS]:
        yield suggestion(claim_id, claim_number, match)


def suggestion(claim_id: UUID, claim_number: str, match: Match) -> Suggestion:
    """Put a match into words for a claims handler."""
    return Suggestion(
        claim_id=claim_id,
        claim_number=claim_number,
        score=match.score,
        reasons=[SuggestionReason(code=r, message=r.message(days), days=days) for r, days in match.found],
    )


Weighed = tuple[float, Found | None]


def _policy_numbers(one: str, other: str) -> Weighed:
    if not one or not other:
        return 0.0, None
    if one == other:
        return 9.0, Found(Reason.SAME_POLICY_NUMBER)
    if min(len(one), len(other)) >= _SHORTEST_WITH_TYPING_ERROR and _typing_errors(one, other, 1):
        return 3.0, Found(Reason.SIMILAR_POLICY_NUMBER)
    return -2.0, None


def _phones(one: str, other: str) -> Weighed:
    if one == other:
        return 6.0, Found(Reason.SAME_PHONE)
    if _typing_errors(one, other, 1):
        return 3.0, Found(Reason.SIMILAR_PHONE)
    return -1.0, None


def _places(one: Place, other: Place) -> Weighed:
    street = _alike(one.street, other.street)
    if one.number != other.number or not street:
        same_street = street and one.postal_code == other.postal_code
        return (0.5, Found(Reason.SAME_STREET)) if same_street else (-3.0, None)
    if not _typing_errors(one.postal_code, other.postal_code, 1):
        return -3.0, None
    if _differ(one.letter, other.letter) or _differ(one.dwelling, other.dwelling):
        return 3.0, Found(Reason.SAME_BUILDING)
    if one.street == other.street and one.postal_code == other.postal_code and one.letter == other.letter:
        return 6.0, Found(Reason.SAME_ADDRESS)
    return 5.0, Found(Reason.SIMILAR_ADDRESS)


def _names(one: tuple[str, ...], other: tuple[str, ...]) -> Weighed:
    if not one or not other:
        return 0.0, None
    if sorted(one) == sorted(other):
        return 5.0, Found(Reason.SAME_NAME)
    shorter, longer = sorted((one, other), key=lambda words: (len(words), words))
    if len(shorter) > 1 and set(shorter) <= set(longer):
        return 4.5, Found(Reason.SAME_NAME)
    if _words_of(shorter, longer) or _typing_errors("".join(one), "".join(other), 2):
        return 3.5, Found(Reason.SIMILAR_NAME)
    if _alike(one[-1], other[-1]):
        return 1.0, Found(Reason.SAME_FAMILY_NAME)
    return -3.0, None


def _words_of(shorter: tuple[str, ...], longer: tuple[str, ...]) -> bool:
    """Whether each word of a name is one of another's, but for typing errors and initials."""
    left = list(longer)
    for word in shorter:
        found = next((w for w in left if _alike(word, w) or (1 in (len(word), len(w)) and word[0] == w[0])), None)
        if found is None:
            return False
        left.remove(found)
    return len(shorter) > 1 or len(longer) == 1


def _dates(one: Particulars, other: Particulars) -> Weighed:
    days = abs((one.incident_date - other.incident_date).days)
    if days == 0:
        return 4.0, Found(Reason.SAME_DAY, 0)
    if days <= _CLOSE_DAYS:
        return 3.5 - days / 4, Found(Reason.CLOSE_IN_TIME, days)
    if _mistyped(one, other):
        return -2.0, Found(Reason.DATE_MISTYPED, days)
    if days <= 30:
        return -3.0, None
    return (-8.0 if days <= 90 else -12.0), None


def _mistyped(one: Particulars, other: Particulars) -> bool:
    a, b = one.incident_date, other.incident_date
    swapped = a.year == b.year and (a.month, a.day) == (b.day, b.month)
    return swapped or (abs(a.year - b.year) == 1 and (a.month, a.day) == (b.month, b.day))


_RELATED = frozenset(
    frozenset(pair)
    for pair in (
        (Cause.WATER, Cause.FLOOD),
        (Cause.WATER, Cause.STORM),
        (Cause.FLOOD, Cause.STORM),
        (Cause.FLOOD, Cause.LANDSLIDE),
        (Cause.STORM, Cause.LANDSLIDE),
        (Cause.STORM, Cause.GLASS),
        (Cause.GLASS, Cause.BURGLARY),
    )
)
"""Causes that are often taken for each other."""


def _causes(one: Cause, other: Cause) -> Weighed:
    if one is other:
        return 1.0, Found(Reason.SAME_CAUSE)
    if frozenset((one, other)) in _RELATED:
        return 0.5, Found(Reason.RELATED_CAUSE)
    return (0.0 if Cause.OTHER in (one, other) else -2.0), None


def _alike(one: str, other: str) -> bool:
    """Whether two words are the same but for as many typing errors as their length makes likely."""
    shortest = min(len(one), len(other))
    return one == other or _typing_errors(one, other, (shortest >= 4) + (shortest >= 9))


def _typing_errors(one: str, other: str, at_most: int) -> bool:
    """Whether one text becomes the other by so many letters typed wrongly, left out, added, or swapped."""
    return OSA.distance(one, other, score_cutoff=at_most) <= at_most


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
