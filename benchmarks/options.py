"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the command was told."""

    claims: int
    rounds: int
    peers: list[str]
