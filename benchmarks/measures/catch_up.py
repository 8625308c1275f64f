"""catch-up: a service is away while requests go on coming; how long it takes after that until nothing is left."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.accounting import look
from benchmarks.client import client
from benchmarks.contestants import Claimbus, NotDone
from benchmarks.figures import Row
from benchmarks.installation import installation
from benchmarks.lag import Lag
from benchmarks.names import ALL_SEVEN
from benchmarks.options import Options
from operations.options import err
from operations.stack import Stack

MEASURE = "catch-up"
_SERVICES = ("permissions", "claims", "delivery", "portal")
_RATE = 500
_AT_MOST_S = 900.0


def measure_catch_up(options: Options) -> Iterator[Row]:
    """Each service in turn."""
    with installation() as stack:
        services = Claimbus(stack, ALL_SEVEN)
        for number in range(1, options.rounds + 1):
            for service in _SERVICES:
                err.print(f"catch-up, round {number} of {options.rounds}: {service} is away for {options.away_s:g} s")
                services.start()
                yield _away(stack, services, service, options.away_s)


def _away(stack: Stack, services: Claimbus, service: str, away_s: float) -> Row:
    (instance,) = stack.of(service)
    lag = Lag(stack.connection, {service: services.groups[service]})
    claims = round(_RATE * away_s)
    servers = {"kafka": [stack.kafka.pid], "postgres": [stack.postgres.pid]}
    # Where this is stopped, the client ends first: what waits for it in the thread then ends too.
    with ThreadPoolExecutor(1) as executor, client(services.load(claims, _RATE)) as sender:
        instance.stop()
        sending = executor.submit(sender.run)
        time.sleep(away_s)
        left = lag.now()
        processes = {name: pids for name, pids in services.processes().items() if pids} | servers
        first = look(processes)
        instance.start()
        caught_up_s = lag.wait_until_none(_AT_MOST_S) - first.at
        usage = look(processes | {service: [pid for pid in (instance.pid,) if pid is not None]}).since(first)
        outcome = sending.result()
    if not outcome.is_complete:
        raise NotDone(f"after {service} was away: {outcome.model_dump_json()}")
    figures = {"away_s": away_s, "left": left, "caught_up_s": round(caught_up_s, 2)}
    return Row(measure=MEASURE, case=service, figures=figures, other_cores=round(usage.other_cores, 2))
