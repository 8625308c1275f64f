"""storm: as many claims as fast as the brokers take them, with each contestant in turn, several rounds of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.contestants import Contestant, NotDone, Peer, all_contestants, stop_services
from benchmarks.figures import Row
from benchmarks.installation import installation
from benchmarks.options import Options
from benchmarks.run import run_load
from operations.options import err
from operations.stack import Stack

MEASURE, LONG = "storm", "long-storm"
_TIMES_AS_LONG = 10


def measure_storm(options: Options) -> Iterator[Row]:
    """The outcome road alone, all services, and the peers."""
    with installation() as stack:
        yield from storm(stack, all_contestants(stack, options.peers), options)


def measure_long_storm(options: Options) -> Iterator[Row]:
    """Ten times as many claims, with all that take a whole storm: what collects over time shows."""
    long = replace(options, claims=_TIMES_AS_LONG * options.claims)
    with installation() as stack:
        contestants = [each for each in all_contestants(stack, options.peers) if each.at_most is None]
        for row in storm(stack, contestants, long):
            yield row.model_copy(update={"measure": LONG})


def storm(stack: Stack, contestants: Sequence[Contestant], options: Options) -> Iterator[Row]:
    """A B C, A B C, …: whatever the machine does meanwhile meets all of them.

    Before the clock starts there are a few claims: in a service that runs, compilers and caches are warm.
    """
    stop_services(stack)
    for number in range(1, options.rounds + 1):
        for contestant in contestants:
            wanted = min(options.claims, contestant.at_most or options.claims)
            err.print(f"storm, round {number} of {options.rounds}: {contestant.name}, {wanted:,} claims")
            try:
                contestant.start()
                run_load(stack, contestant, "", "", claims=max(1, min(options.warm_up, wanted // 4)))
                yield run_load(stack, contestant, MEASURE, contestant.name, claims=wanted)
            except NotDone as fault:
                if not isinstance(contestant, Peer):
                    raise
                err.print(f"left out: {fault}")  # what a peer loses is no reason to measure nothing else
            finally:
                contestant.stop()
