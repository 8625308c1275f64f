"""How old the parts of links are whose files are being copied, for metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from shared.runtime import metrics

AGES_S = {"minute": 60.0, "quarter": 900.0, "hour": 3600.0, "longer": float("inf")}
"""What an age is called, and how old a part of it is at most, in seconds since it was appended."""


class Ages:
    """Knows what is being copied; it is counted when somebody asks for the metrics."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` is in seconds since 1970 UTC."""
        self._now = now
        self._appended_at_ms: Counter[int] = Counter()
        for age in AGES_S:
            metrics.LINKS_UNDER_WAY.labels(age).set_function(partial(self._count, age))

    @contextmanager
    def copying(self, appended_at_ms: Iterable[int]) -> Iterator[None]:
        """Count parts that were appended then, in milliseconds since 1970 UTC, for as long as the block runs."""
        parts = Counter(appended_at_ms)
        self._appended_at_ms += parts
        try:
            yield
        finally:
            self._appended_at_ms -= parts

    def _count(self, age: str) -> int:
        by_age: Counter[str] = Counter()
        for at_ms, parts in self._appended_at_ms.items():
            age_s = self._now() - at_ms / 1000
            by_age[next(name for name, at_most_s in AGES_S.items() if age_s <= at_most_s)] += parts
        return by_age[age]
