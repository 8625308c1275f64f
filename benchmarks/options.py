"""How much is measured."""

from dataclasses import dataclass, field

from benchmarks.peers.registry import PEERS


@dataclass(frozen=True)
class Options:
    """What the command was told."""

    claims: int = 20_000
    """Of a storm."""
    rounds: int = 3
    warm_up: int = 5_000
    """So many claims, a quarter of the storm at most, come before it."""
    peers: list[str] = field(default_factory=lambda: list(PEERS))
    stored: list[int] = field(default_factory=lambda: [0, 1_000_000, 5_000_000])
    """So many claims are stored before a storm, by turns."""
    companies: list[int] = field(default_factory=lambda: [3, 300, 3_000])
    """So many are registered, ascending."""
    settings: int = 10_000
    away_s: float = 60
