"""A temporary claim's number: the word *Midlertidig*, and a code to read over the phone (domain rule 9)."""

from datetime import date
from uuid import UUID

from shared.contract.texts import folded
from shared.domain.claim_numbers import number_key

MARK = "Midlertidig"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U."""
_LENGTHS = (6, 8, 12)
"""Six characters distinguish a billion claims of a day; more are used in the rare case that a number is taken."""


def temporary_numbers(claim_id: UUID, today: date, defined: str | None = None) -> list[str]:
    """Return the numbers that a temporary claim may get, the first free one to be taken.

    That is the partner's own where it defined one; otherwise the insurer's date and a code from the claim's id.
    """
    if defined is not None:
        return [f"{MARK} {defined}"]
    code = _code(claim_id, max(_LENGTHS))
    return [f"{MARK} {today.isoformat()}-{code[:length]}" for length in _LENGTHS]


def is_temporary_number(claim_number: str) -> bool:
    """Whether a number is, or could be taken for, a temporary claim's."""
    return MARK.lower() in folded(claim_number)


def number_keys(insurer: str, claim_number: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the keys under which a claim is recorded: its number as it was written, and as numbers are compared.

    The first comes first: of two claims from before numbers were compared without case, spaces and Unicode form, each
    is found by its own spelling.
    """
    return (insurer, claim_number), (insurer, number_key(claim_number))


def _code(claim_id: UUID, length: int) -> str:
    return "".join(_CROCKFORD[claim_id.int >> (128 - 5 * n) & 31] for n in range(1, length + 1))
