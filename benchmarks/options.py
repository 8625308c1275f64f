"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the command was told."""

    claims: int
    rounds: int
    peers: list[str]
    stored: list[int]
    """So many claims are stored before a storm, one after the other."""
    companies: list[int]
    """So many are registered, ascending."""
    settings: int
    away_s: float
