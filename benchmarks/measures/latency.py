"""latency: from a request's append to its outcome's, at rates that do not wait for answers (an open loop)."""

from collections.abc import Iterator

from benchmarks.contestants import Claimbus
from benchmarks.figures import Row, percentile
from benchmarks.installation import installation
from benchmarks.names import ALL_SEVEN
from benchmarks.options import Options
from benchmarks.run import run_load
from operations.options import err

MEASURE = "latency"
HALF = "half of the maximum"
RATES = (10, 100, 400, 1_000)
_SECONDS = 20
_FEWEST = 300
"""So few claims tell the 99th percentile, if roughly: at 10 a second they take half a minute."""


def measure_latency(options: Options) -> Iterator[Row]:
    """All services, at each rate and at half of what a storm of the same run reaches."""
    with installation() as stack:
        services = Claimbus(stack, ALL_SEVEN)
        services.start()
        rates: dict[str, float] = {case_of(rate): rate for rate in RATES}
        storms = [
            run_load(stack, services, "", "", claims=options.claims).figures["claims_per_s"]
            for _ in range(options.rounds)
        ]
        rates[HALF] = percentile(storms, 50) / 2
        for number in range(1, options.rounds + 1):
            for case, rate in rates.items():
                err.print(f"latency, round {number} of {options.rounds}: {rate:.0f} a second")
                yield run_load(stack, services, MEASURE, case, claims=claims_at(rate, _SECONDS), rate=rate)


def claims_at(rate: float, seconds: float) -> int:
    """How many claims a rate is measured with."""
    return max(_FEWEST, round(rate * seconds))


def case_of(rate: float) -> str:
    """What a rate is called."""
    return f"{rate:,}/s"
