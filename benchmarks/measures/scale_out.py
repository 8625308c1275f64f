"""scale-out: one, two and four instances of each service of the outcome road, on the cores that there are."""

from collections.abc import Iterator

from benchmarks.contestants import OUTCOME_ROAD, Claimbus
from benchmarks.figures import Row
from benchmarks.installation import installation
from benchmarks.measures.storm import storm
from benchmarks.options import Options

MEASURE = "scale-out"
_INSTANCES = (1, 2, 4)


def measure_scale_out(options: Options) -> Iterator[Row]:
    """A storm with each number of instances."""
    with installation() as stack:
        contestants = [
            Claimbus(stack, f"{count} of each" if count > 1 else "one of each", OUTCOME_ROAD, instances=count)
            for count in _INSTANCES
        ]
        for row in storm(stack, contestants, options):
            yield row.model_copy(update={"measure": MEASURE})
