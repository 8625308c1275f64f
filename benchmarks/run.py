"""One load on one contestant: made, checked to have been done, and accounted for."""

import time

from benchmarks.accounting import look, memory_mib
from benchmarks.client import client
from benchmarks.contestants import Contestant, NotDone
from benchmarks.figures import Row
from benchmarks.lag import Lag
from operations.stack import Stack

_CATCH_UP_S = 600.0


def run_load(
    stack: Stack, contestant: Contestant, measure: str, case: str, *, claims: int, rate: float | None = None
) -> Row:
    """Make a load, wait until all have caught up, and account for it. Raises NotDone where a claim is missing."""
    told = Lag(stack.connection, {"": [contestant.of_insurer]})
    before, told_before = contestant.stored(), told.appended()
    lag = Lag(stack.connection, contestant.groups)
    with client(contestant.load(claims, rate)) as sender:
        processes = {
            "kafka": [stack.kafka.pid],
            "postgres": [stack.postgres.pid],
            "client": [sender.pid],
            **contestant.processes(),
        }
        began, first = time.monotonic(), look(processes)
        outcome = sender.run()
        if not outcome.is_complete:
            raise NotDone(f"{contestant.name} has not done the job: {outcome.model_dump_json()}")
        caught_up = lag.wait_until_none(_CATCH_UP_S)
        usage, memory = look(processes).since(first), memory_mib(processes)
    stored = {table: rows - before[table] for table, rows in contestant.stored().items()}
    if short := [table for table, rows in stored.items() if rows < claims]:
        raise NotDone(f"{contestant.name} has not stored {claims} rows in {', '.join(short)}: {stored}")
    if (copies := told.appended() - told_before) < claims:
        raise NotDone(f"{contestant.name} has told the insurer of {copies} claims, and not of {claims}")
    figures = {
        "claims": claims,
        "seconds": outcome.seconds,
        "claims_per_s": claims / outcome.seconds,
        "caught_up_s": caught_up - began,
        **{f"{name}_ms": value for name, value in outcome.latency_ms.items()},
    }
    if rate is not None:
        figures |= {"rate": rate, "sender_late_ms": outcome.sender_late_ms}
    return Row(
        measure=measure,
        case=case,
        figures={name: round(value, 2) for name, value in figures.items()},
        cpu_ms={name: round(seconds * 1000 / claims, 4) for name, seconds in usage.cpu_s.items()},
        memory_mib=memory,
        other_cores=round(usage.other_cores, 2),
    )
