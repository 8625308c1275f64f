"""settings: what a large directory costs: 10,000 offices, each with a permission of its own."""

from collections.abc import Iterator

from benchmarks.contestants import OUTCOME_ROAD, Claimbus, stop_services
from benchmarks.figures import Row
from benchmarks.installation import apply, installation
from benchmarks.measures.companies import partners
from benchmarks.measures.latency import claims_at
from benchmarks.names import ROAD
from benchmarks.options import Options
from benchmarks.run import run_load
from operations.options import err

MEASURE = "settings"
_COMPANIES = 20
_RATE = 100
_SECONDS = 20


def measure_settings(options: Options) -> Iterator[Row]:
    """A storm on the outcome road, and its latency, before and after."""
    with installation() as stack:
        stop_services(stack)
        services = Claimbus(stack, ROAD, OUTCOME_ROAD)
        services.start()
        run_load(stack, services, "", "", claims=max(20, options.claims // 10))
        for settings in (0, options.settings):
            if settings:
                apply(stack, partners(_COMPANIES, settings // _COMPANIES))
            for number in range(1, options.rounds + 1):
                err.print(f"settings, round {number} of {options.rounds}: {settings:,}")
                yield run_load(stack, services, MEASURE, f"storm, {_named(settings)}", claims=options.claims)
                case = f"{_RATE}/s, {_named(settings)}"
                yield run_load(stack, services, MEASURE, case, claims=claims_at(_RATE, _SECONDS), rate=_RATE)


def _named(settings: int) -> str:
    return f"{settings:,} settings" if settings else "those of the demo"
