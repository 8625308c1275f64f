"""list and report: pages of the claims list, and closing a period, for an insurer with a million claims.

Each is a benchmark of its own that needs no Kafka, run here in a process of its own.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.contestants import NotDone
from benchmarks.figures import Row
from benchmarks.options import Options
from operations.options import err

LIST, REPORT = "list", "report"
_CLAIMS = "1000000"


def measure_list(_: Options) -> Iterator[Row]:
    """Pages with any filter; `benchmarks.portal` says which."""
    for result in _run("portal", "--claims", _CLAIMS)["results"]:
        figures = {name: result[name] for name in ("p50_ms", "p95_ms", "p99_ms")}
        yield Row(measure=LIST, case=f"{result['claims']:,} claims", figures=figures)


def measure_report(_: Options) -> Iterator[Row]:
    """A week, a month and a year; `benchmarks.report` says how."""
    for year in _run("report", "--claims", _CLAIMS, "--events", "0")["years"]:
        figures = {name: year[name] for name in ("last_week_s", "last_month_s", "whole_year_s")}
        yield Row(measure=REPORT, case=f"{year['claims']:,} claims in a year", figures=figures)


def _run(module: str, *words: str) -> Any:
    err.print(f"running benchmarks.{module}")
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise NotDone(f"benchmarks.{module} failed; what it says is above")
    return json.loads(done.stdout)
