"""The list of metrics, and whatever names one, agrees with the metrics that there are."""

import re
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from shared.runtime import metrics

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `(claimbus_\w+)` \| (\w+) \| (–|[`\w, ]+) \| (.+) \|$", re.MULTILINE)


def there_are() -> dict[str, tuple[str, list[str]]]:
    """Each metric's kind and labels, by the name under which Prometheus has it."""
    found: list[Any] = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    described = [(metric.describe()[0], list(metric._labelnames)) for metric in found]
    return {each.name + ("_total" if each.type == "counter" else ""): (each.type, labels) for each, labels in described}


def test_the_list_of_metrics_has_each_that_there_is_with_its_kind_and_labels() -> None:
    listed = {
        name: (kind, re.findall(r"`(\w+)`", labels))
        for name, kind, labels, _ in _ROW.findall((ROOT / "docs/operate/reference/metrics.md").read_text())
    }
    assert listed == there_are()
