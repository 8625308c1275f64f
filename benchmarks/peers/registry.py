"""Which peers there are, how each is run, and what it needs."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FLOOR = "floor"
_BY_MESSAGE = 1_000
"""A thousand are enough of what does some fifty each second."""


class Missing(Exception):
    """Something that a peer needs is not on this machine; the message says what."""


@dataclass(frozen=True)
class PeerEntry:
    """A peer."""

    name: str
    command: Callable[[], list[str | Path]]
    """Prepares it and says how a process of it is started, without the stage. Raises Missing."""
    at_most: int | None = None


def _python(module: str) -> Callable[[], list[str | Path]]:
    return lambda: [sys.executable, "-m", f"benchmarks.peers.{module}"]


PEERS = {peer.name: peer for peer in (PeerEntry(FLOOR, _python("floor")),)}
