"""start: how long `claimbus up` takes until its connection file says that all is ready."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accounting import look
from benchmarks.contestants import NotDone
from benchmarks.figures import Row
from benchmarks.installation import folder
from benchmarks.options import Options
from operations.embedded import free_port
from operations.options import err

MEASURE = "start"
COLD, WARM = "cold: in an empty folder", "warm: in the folder of an earlier start"
_AT_MOST_S = 300.0
_LOOK_EVERY_S = 0.01


def measure_start(options: Options) -> Iterator[Row]:
    """Cold, and warm after it; what both use of the machine's caches, such as Kafka's packages, is there."""
    for number in range(1, options.rounds + 1):
        with folder() as place:
            for case in (COLD, WARM):
                err.print(f"start, round {number} of {options.rounds}: {case}")
                yield _start(place, case)


def _start(place: Path, case: str) -> Row:
    connection_file = place / "connection.json"
    options: list[str | Path] = [
        "--data",
        place / "data",
        "--connection-file",
        connection_file,
        "--portal-port",
        str(free_port()),
    ]
    before = look({})
    log = place / "log"
    with (
        log.open("a") as output,
        subprocess.Popen([sys.executable, "-m", "operations", "up", *options], stdout=output, stderr=output) as process,
    ):
        try:
            while not connection_file.exists():
                if process.poll() is not None or time.monotonic() - before.at > _AT_MOST_S:
                    raise NotDone(f"claimbus up is not ready; it says:\n{log.read_text()[-2000:]}")
                time.sleep(_LOOK_EVERY_S)
            usage = look({"up": [process.pid]}).since(before)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    figures = {"ready_s": round(usage.seconds, 2), "cpu_s": round(usage.cpu_s["up"], 2)}
    return Row(measure=MEASURE, case=case, figures=figures, other_cores=round(usage.other_cores, 2))
