"""What an audit says: invariants by name, and what was found to break them. No I/O."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from shared.audit.spool import Spool

MOST_KEPT = 1000
"""So many violations of each invariant are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should never be."""

    invariant: str
    about: str
    """What it is about, by ids alone: a claim, or a company and its request."""
    sentence: str


INVARIANTS: dict[str, str] = {}
"""Each invariant's name, which stays, and its sentence."""

Check = Callable[[Spool], Iterator[tuple[str, str]]]
_CHECKS: dict[str, Check] = {}


def named(name: str, sentence: str) -> str:
    """Give an invariant its name and sentence."""
    INVARIANTS[name] = sentence
    return name


def invariant(name: str, sentence: str) -> Callable[[Check], Check]:
    """Mark the function that finds what breaks an invariant in a spool: it yields what it is about, and a sentence."""

    def mark(check: Check) -> Check:
        _CHECKS[named(name, sentence)] = check
        return check

    return mark


def checks() -> dict[str, Callable[[Spool], Iterator[Violation]]]:
    """Return, by invariant, what finds its violations in a spool."""

    def violations(name: str, check: Check) -> Callable[[Spool], Iterator[Violation]]:
        return lambda spool: (Violation(name, about, sentence) for about, sentence in check(spool))

    return {name: violations(name, check) for name, check in _CHECKS.items()}


@dataclass(slots=True)
class Tally:
    """Violations: the first ones of each invariant, and how many there are."""

    kept: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, violations: Iterable[Violation]) -> None:
        """Count violations."""
        for violation in violations:
            self.counts[violation.invariant] += 1
            if self.counts[violation.invariant] <= MOST_KEPT:
                self.kept.append(violation)
