"""The list of metrics, and whatever names one, agrees with the metrics that there are."""

import json
import re
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from operations.services import HEALTH_PORT, REGISTRY
from shared.runtime import metrics
from tests.observability import (
    NAMED,
    OBSERVABILITY,
    ROOT,
    expressions,
    names_asked_for,
    rules,
    without_what_histograms_add,
    yaml,
)

ALARMS = "docs/operate/how-to/alarms.md"
_ROW = re.compile(r"^\| `(claimbus_\w+)` \| (\w+) \| (–|[`\w, ]+) \| (.+) \|$", re.MULTILINE)
_BY = re.compile(r"\bby \(([^)]*)\)")
_OF_PROMETHEUS = {"le", "job", "service", "instance"}
"""Labels that its configuration adds, or that a histogram's buckets have."""


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


@pytest.mark.parametrize(("who", "expression"), list(expressions()))
def test_what_an_alarm_or_the_dashboard_asks_for_is_a_metric_with_its_labels(who: str, expression: str) -> None:
    metrics_there = there_are()
    labels: set[str] = set()
    for name, matchers in NAMED.findall(expression):
        if name not in metrics_there:
            name = without_what_histograms_add(name)  # noqa: PLW2901 - a part of it
            assert metrics_there[name][0] == "histogram", (who, name)
        labels |= set(metrics_there[name][1])
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= {*metrics_there[name][1], *_OF_PROMETHEUS}, who
    grouped = {label.strip() for by in _BY.findall(expression) for label in by.split(",")}
    assert grouped <= labels | _OF_PROMETHEUS, who
    assert expression.count("(") == expression.count(")")


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    aside = {"claimbus_files_copied_total"}  # the bytes are there
    assert set(there_are()) - names_asked_for() == aside


def test_every_alarm_says_what_to_do_and_the_page_has_no_others() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / ALARMS).read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["runbook"] == f"{ALARMS}#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]


def test_every_service_is_scraped() -> None:
    (scraped,) = yaml(OBSERVABILITY / "prometheus.yml")["scrape_configs"]
    assert sorted(scraped["dns_sd_configs"][0]["names"]) == sorted(REGISTRY)
    assert scraped["dns_sd_configs"][0]["port"] == HEALTH_PORT
    monitor = yaml(ROOT / "deploy/kubernetes/observability/podmonitor.yaml")["spec"]
    assert sorted(monitor["selector"]["matchExpressions"][0]["values"]) == sorted(REGISTRY)
    assert monitor["podMetricsEndpoints"][0]["port"] == "health"


def test_compose_gives_grafana_the_dashboard_and_the_source_that_it_names() -> None:
    composed = yaml(ROOT / "docker-compose.yml")["services"]
    for service in ("prometheus", "grafana"):
        assert composed[service]["profiles"] == ["observability"]
        for volume in composed[service]["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_file()
    (source,) = yaml(OBSERVABILITY / "grafana" / "datasource.yml")["datasources"]
    panels = json.loads((OBSERVABILITY / "grafana" / "claimbus.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {source["uid"]}
