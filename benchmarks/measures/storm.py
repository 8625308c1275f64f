"""storm: as many claims as fast as the brokers take them, with each contestant in turn, several rounds of it."""

from collections.abc import Iterator, Sequence

from benchmarks.contestants import Contestant, all_contestants, stop_services
from benchmarks.figures import Row
from benchmarks.installation import installation
from benchmarks.options import Options
from benchmarks.run import run_load
from operations.options import err
from operations.stack import Stack

MEASURE = "storm"
_WARM_UP = 4
"""A quarter of the claims comes before the clock starts: in a service that runs, compilers and caches are warm."""
_MOST_TO_WARM_UP = 5_000


def measure_storm(options: Options) -> Iterator[Row]:
    """The outcome road alone, all services, and the peers."""
    with installation() as stack:
        yield from storm(stack, all_contestants(stack, options.peers), options.claims, options.rounds)


def storm(stack: Stack, contestants: Sequence[Contestant], claims: int, rounds: int) -> Iterator[Row]:
    """A B C, A B C, …: whatever the machine does meanwhile meets all of them."""
    stop_services(stack)
    for number in range(1, rounds + 1):
        for contestant in contestants:
            wanted = min(claims, contestant.at_most or claims)
            err.print(f"storm, round {number} of {rounds}: {contestant.name}, {wanted:,} claims")
            try:
                contestant.start()
                run_load(stack, contestant, "", "", claims=max(1, min(wanted // _WARM_UP, _MOST_TO_WARM_UP)))
                yield run_load(stack, contestant, MEASURE, contestant.name, claims=wanted)
            finally:
                contestant.stop()
