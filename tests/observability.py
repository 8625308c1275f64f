"""What the alarms and the dashboard in deploy/observability ask for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
OBSERVABILITY = ROOT / "deploy" / "observability"
NAMED = re.compile(r"(claimbus_\w+)(?:\{([^}]*)\})?")
_OF_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")


def yaml(file: Path) -> Any:
    """Read a YAML file."""
    return YAML(typ="safe").load(file.read_text())


def rules() -> list[dict[str, Any]]:
    """The alarms."""
    return [rule for group in yaml(OBSERVABILITY / "rules.yml")["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """What the alarms and the dashboard ask for, each with who asks."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads((OBSERVABILITY / "grafana" / "claimbus.json").read_text())["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))


def without_what_histograms_add(name: str) -> str:
    """Return a metric's name without what one of a histogram's series has in addition."""
    return _OF_HISTOGRAM.sub("", name)


def names_asked_for() -> set[str]:
    """The metrics that any of them asks for, by the name under which Prometheus has them."""
    return {
        without_what_histograms_add(name) for _, expression in expressions() for name, _ in NAMED.findall(expression)
    }
