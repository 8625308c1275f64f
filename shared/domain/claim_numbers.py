"""Claim numbers as they are compared (domain rules 9 and 14). No I/O."""

from shared.contract.texts import folded


def number_key(claim_number: str) -> str:
    """Write a claim number as it is compared: without case, and without surrounding or doubled spaces."""
    return " ".join(folded(claim_number).split())
