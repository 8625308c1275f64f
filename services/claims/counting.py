"""What metrics tell of what was decided: each request once, however often its message comes."""

import time
from collections import Counter
from collections.abc import Iterable

from services.claims.batch import Decided
from services.claims.commands import Command
from shared.contract.outcomes import RequestRefused
from shared.runtime import metrics


def count(decided: Iterable[Decided]) -> None:
    """Count what a batch has decided for the first time, when it is in the record."""
    now = time.time()
    outcomes: Counter[str] = Counter()
    refusals: Counter[tuple[str, str]] = Counter()
    decisions: Counter[tuple[str, str]] = Counter()
    events: Counter[str] = Counter()
    for one in decided:
        events.update(event.NAME for event in one.events)
        command, outcome = one.command, one.outcome
        if outcome is None or not isinstance(command, Command):
            continue
        checked = command.checked
        code = outcome.code if isinstance(outcome, RequestRefused) else None
        outcomes[code or "accepted"] += 1
        if code is not None:
            refusals[checked.company, code] += 1
        if checked.decision is not None and checked.insurer is not None:
            decisions[checked.insurer, checked.decision.rule] += 1
        metrics.OUTCOME_SECONDS.observe(max(0.0, now - checked.requested_at.timestamp()), _exemplar(command))
    for answer, number in outcomes.items():
        metrics.OUTCOMES.labels(answer).inc(number)
    for refusal, number in refusals.items():
        metrics.REFUSALS.labels(*refusal).inc(number)
    for decision, number in decisions.items():
        metrics.DECISIONS.labels(*decision).inc(number)
    for event, number in events.items():
        metrics.EVENTS.labels(event).inc(number)


def _exemplar(command: Command) -> dict[str, str] | None:
    """Name the trace that a request is part of, where its sender has begun one."""
    traceparent = next((value for name, value in command.trace if name == "traceparent"), None)
    return None if traceparent is None else {"trace_id": traceparent.split(b"-")[1].decode()}
