"""What is in deploy/kubernetes around the services agrees with the registry, the contract and the command.

Whether Kubernetes takes it is checked by `deploy/kubernetes/check`.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from operations.command import app
from operations.directory_file import read_directory_file
from operations.embedded.kafka import BOUNDS
from operations.services import HEALTH_PORT, REGISTRY, WITH_DATABASE
from shared.contract.topics import OPERATOR, SERVICES
from shared.storage.media_store import MAX_MEDIA_BYTES
from tests.unit.test_deployment import KUBERNETES, READ, kubernetes_pod

ROAD = {"permissions", "claims", "delivery"}
"""What a partner's outcome passes through."""
SCALED = {*ROAD, "linking", "portal"}
FOLDERS = [file.parent for file in sorted(KUBERNETES.rglob("kustomization.yaml"))]
NAME = "app.kubernetes.io/name"
BROKERS, DNS = ("claimbus-kafka", 9093), ("kube-dns", 53)
"""As the policies name them, with a port."""


@cache
def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((KUBERNETES / name).read_text()))


def by_name(name: str, kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in documents(name) if one["kind"] == kind}


def settings(folder: str) -> dict[str, str]:
    (generated,) = documents(f"{folder}/kustomization.yaml")[0]["configMapGenerator"]
    return dict(line.split("=", 1) for line in generated["literals"])


def environment(name: str, kind: str = "Job") -> dict[str, dict[str, Any]]:
    (job,) = by_name(name, kind).values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one for one in container.get("env", [])}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(KUBERNETES)))
def test_every_file_of_a_folder_is_in_its_kustomization(folder: Path) -> None:
    kustomization = YAML(typ="safe").load((folder / "kustomization.yaml").read_text())
    files = [
        *kustomization.get("resources", []),
        *(one["path"] for one in kustomization.get("patches", []) if "path" in one),
    ]
    files += [file for one in kustomization.get("configMapGenerator", []) for file in one.get("files", [])]
    assert sorted(files) == sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    for component in kustomization.get("components", []):
        assert YAML(typ="safe").load((folder / component / "kustomization.yaml").read_text())["kind"] == "Component"


# Strimzi


def test_topics_and_users_are_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["topics", "--format=kubernetes"]).stdout
    written = (KUBERNETES / "strimzi" / "topics-and-users.yaml").read_text()
    assert written == printed, "claimbus topics --format kubernetes > deploy/kubernetes/strimzi/topics-and-users.yaml"


def cluster() -> dict[str, Any]:
    spec: dict[str, Any] = by_name("strimzi/kafka.yaml", "Kafka")["claimbus"]["spec"]
    return spec


def is_left_alone(user: str) -> bool:
    """Whether Strimzi leaves a user as it is that has no KafkaUser; otherwise it deletes it."""
    (pattern,) = cluster()["entityOperator"]["template"]["userOperatorContainer"]["env"]
    assert pattern["name"] == "STRIMZI_IGNORED_USERS_PATTERN"
    return re.fullmatch(pattern["value"], user) is not None


def test_strimzi_manages_the_operator_and_the_services() -> None:
    assert [user for user in (OPERATOR, *SERVICES) if is_left_alone(user)] == []
    assert cluster()["kafka"]["authorization"] == {"type": "simple", "superUsers": [OPERATOR]}
    users = by_name("strimzi/topics-and-users.yaml", "KafkaUser")
    assert list(users) == [OPERATOR, *SERVICES]


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True) | st.sampled_from([f"{s}-x" for s in SERVICES]))
def test_strimzi_leaves_every_company_alone(company: str) -> None:
    assert is_left_alone(company) or company in (OPERATOR, *SERVICES)


def test_the_brokers_have_the_bounds_of_the_embedded_one_or_those_of_their_own_heap() -> None:
    (pool,) = by_name("strimzi/kafka.yaml", "KafkaNodePool").values()
    config = cluster()["kafka"]["config"]
    assert pool["spec"]["jvmOptions"] == {"-Xms": "1g", "-Xmx": "1g"}
    assert config["queued.max.request.bytes"] * 4 == 2**30
    assert config["auto.create.topics.enable"] is False
    own = {"queued.max.request.bytes", "max.connections.per.ip"}  # behind a balancer all companies have one address
    assert {name: str(config[name]) for name in BOUNDS.keys() - own} == {
        name: BOUNDS[name] for name in BOUNDS.keys() - own
    }


def test_services_and_the_command_find_the_cluster() -> None:
    (name,) = by_name("strimzi/kafka.yaml", "Kafka")
    for folder in (".", "operator"):
        found = settings(folder)
        assert found["CLAIMBUS_BOOTSTRAP_SERVERS"] == f"{name}-kafka-bootstrap:9093"
        assert found["CLAIMBUS_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert (9093, True) in {(one["port"], one["tls"]) for one in cluster()["kafka"]["listeners"]}
    assert (f"{name}-kafka", 9093) == BROKERS


# Who reaches whom


def policies(service: str) -> Iterator[dict[str, Any]]:
    for policy in documents("network.yaml"):
        selector = policy["spec"]["podSelector"]
        if service in named(selector):
            yield policy["spec"]


def named(selector: dict[str, Any]) -> list[str]:
    """The values of the one label that a selector asks for."""
    labels = list(selector.get("matchLabels", {}).values())
    return labels + [value for one in selector.get("matchExpressions", []) for value in one["values"]]


def reached(service: str, direction: str) -> set[tuple[str, int]]:
    """Peers and ports that the policies let a service reach, or be reached from: by the labels' values."""
    word = {"egress": "to", "ingress": "from"}[direction]
    return {
        (peer, port["port"])
        for policy in policies(service)
        for rule in policy.get(direction, [])
        for one in rule[word]
        for peer in (["outside"] if "ipBlock" in one else named(one.get("podSelector") or one["namespaceSelector"]))
        for port in rule["ports"]
    }


@pytest.mark.parametrize("service", [*REGISTRY, "claimbus"])
def test_nothing_comes_in_or_goes_out_that_no_policy_allows(service: str) -> None:
    assert any(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in policies(service))


@pytest.mark.parametrize("service", REGISTRY)
def test_a_service_reaches_kafka_dns_its_own_database_and_what_it_is_configured_for(service: str) -> None:
    entry = REGISTRY[service]
    database = {(f"{service}-database", 5432)} if entry.has_database else set()
    outside = {("outside", 443)} if entry.opens_media_store else set()
    assert reached(service, "egress") == {BROKERS, DNS} | database | outside


@pytest.mark.parametrize("service", REGISTRY)
def test_a_service_is_reached_by_who_asks_how_it_is_and_the_portal_through_the_ingress(service: str) -> None:
    asks = {("prometheus", HEALTH_PORT), ("claimbus", HEALTH_PORT)}
    people = {one for one in reached(service, "ingress") if one[1] != HEALTH_PORT}
    assert reached(service, "ingress") - people == asks
    assert {port for _, port in people} == ({8000} if service == "portal" else set())


def test_the_command_reaches_every_database_and_every_services_health() -> None:
    databases = {(f"{service}-database", 5432) for service in WITH_DATABASE}
    health = {(service, HEALTH_PORT) for service in REGISTRY}
    assert reached("claimbus", "egress") == {BROKERS, DNS} | databases | health


def test_kafka_lets_in_the_services_the_command_and_keda() -> None:
    listener = next(one for one in cluster()["kafka"]["listeners"] if one["port"] == 9093)
    services, keda = listener["networkPolicyPeers"]
    assert sorted(named(services["podSelector"])) == sorted([*REGISTRY, "claimbus"])
    assert named(keda["podSelector"]) == ["keda-operator"]


def test_every_service_may_send_its_traces_to_a_collector() -> None:
    (policy,) = documents("observability/network.yaml")
    assert sorted(named(policy["spec"]["podSelector"])) == sorted(REGISTRY)


# How many there are


def scaled() -> dict[str, dict[str, Any]]:
    return {name: one["spec"] for name, one in by_name("keda/scaling.yaml", "ScaledObject").items()}


def test_who_is_scaled_has_its_replicas_from_keda_alone() -> None:
    assert set(scaled()) == SCALED
    (patch,) = YAML(typ="safe").load((KUBERNETES / "keda" / "kustomization.yaml").read_text())["patches"]
    assert set(patch["target"]["name"].split("|")) == SCALED
    assert YAML(typ="safe").load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]


@pytest.mark.parametrize("service", sorted(SCALED))
def test_a_service_is_scaled_by_the_lag_of_its_group_within_its_partitions(service: str) -> None:
    spec = scaled()[service]
    (trigger,) = spec["triggers"]
    metadata = trigger["metadata"]
    assert spec["scaleTargetRef"] == {"name": service}
    assert spec["minReplicaCount"] == 2
    assert trigger["type"] == "kafka"
    assert metadata["consumerGroup"] == service
    topics = {topic.name: topic for topic in REGISTRY[service].reads}
    if any(topic.per_company for topic in topics.values()):
        assert "topic" not in metadata
        partitions = sum(3 * topic.partitions for topic in topics.values() if topic.per_company)  # with two companies
    else:
        read = [topics[metadata["topic"]]] if "topic" in metadata else topics.values()
        partitions = sum(topic.partitions for topic in read)
    assert 2 < spec["maxReplicaCount"] <= partitions


@pytest.mark.parametrize("service", sorted(SCALED))
def test_lag_that_cannot_fall_scales_nothing(service: str) -> None:
    (trigger,) = scaled()[service]["triggers"]
    assert trigger["metadata"]["excludePersistentLag"] == "true"
    assert (
        trigger["metadata"]["offsetResetPolicy"] == "earliest"
    )  # `latest` counts one for each partition never written to
    assert int(trigger["metadata"]["lagThreshold"]) > 0


@pytest.mark.parametrize("service", sorted(SCALED))
def test_keda_logs_in_as_the_service_that_it_scales(service: str) -> None:
    (trigger,) = scaled()[service]["triggers"]
    spec = by_name("keda/scaling.yaml", "TriggerAuthentication")[trigger["authenticationRef"]["name"]]["spec"]
    (container,) = kubernetes_pod(service)["containers"]
    variables = {one["name"]: one for one in container["env"]}
    password, ca = spec["secretTargetRef"]
    assert password == {"parameter": "password"} | variables["CLAIMBUS_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert ca["parameter"] == "ca"
    (mounted,) = [one["secret"] for one in kubernetes_pod(service)["volumes"] if one["name"] == "kafka-ca"]
    assert (ca["name"], ca["key"]) == (mounted["secretName"], mounted["items"][0]["key"])
    (username,) = spec["env"]
    assert username["parameter"] == "username"
    assert variables[username["name"]]["value"] == service


@pytest.mark.parametrize("service", sorted(SCALED))
def test_the_guide_says_by_how_much_a_service_is_scaled(service: str) -> None:
    spec = scaled()[service]
    lag, topic = int(spec["triggers"][0]["metadata"]["lagThreshold"]), spec["triggers"][0]["metadata"].get("topic")
    guide = (KUBERNETES.parents[1] / "docs" / "operate" / "how-to" / "scale.md").read_text()
    (row,) = re.findall(
        rf"^\| `{service}` \| (?:its group|`{topic}`)[^|]*\| ([\d,]+)[^|]*\| (\d+) \| (\d+) \|$", guide, re.MULTILINE
    )
    assert row == (f"{lag:,}", str(spec["minReplicaCount"]), str(spec["maxReplicaCount"]))


# The command, and the portal


@pytest.mark.parametrize("folder", ["directory", "provision", "command"])
def test_a_job_runs_a_command_that_there_is_with_settings_that_it_reads(folder: str) -> None:
    (job,) = by_name(f"{folder}/job.yaml", "Job").values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    if container["command"][0] != "sleep":
        asked = CliRunner().invoke(app, [*container["command"][1:], "--help"])
        assert container["command"][0] == "claimbus"
        assert asked.exit_code == 0, asked.output
    own = {name for name in environment(f"{folder}/job.yaml") if name.startswith("CLAIMBUS_")}
    assert own <= READ["claimbus"] | READ["provision"]
    assert set(environment("operator/job.yaml")) <= READ["claimbus"]


def test_provision_has_every_services_password_and_the_operators_is_in_every_job() -> None:
    passwords = {name: one["valueFrom"]["secretKeyRef"] for name, one in environment("provision/job.yaml").items()}
    assert passwords == {f"CLAIMBUS_{s.upper()}_PASSWORD": {"name": s, "key": "password"} for s in SERVICES}
    operators = environment("operator/job.yaml")["CLAIMBUS_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert operators == {"name": OPERATOR, "key": "password"}


def test_the_command_knows_every_database_and_asks_every_service_how_it_is() -> None:
    variables = environment("command/job.yaml")
    databases = json.loads(variables["CLAIMBUS_DATABASES"]["value"])
    assert sorted(databases) == sorted(WITH_DATABASE)
    for service, address in databases.items():
        secret = variables[address.removeprefix("$(").removesuffix(")")]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": f"{service}-database", "key": "url"}
    asked = json.loads(variables["CLAIMBUS_HEALTH"]["value"])
    assert asked == {service: [f"http://{service}:{HEALTH_PORT}"] for service in REGISTRY}
    answering = by_name("health.yaml", "Service") | by_name("portal.yaml", "Service")
    for service in REGISTRY:
        assert answering[service]["spec"]["selector"] == {NAME: service}
        assert {"name": "health", "port": HEALTH_PORT, "targetPort": "health"} in answering[service]["spec"]["ports"]


def test_the_directory_file_can_be_applied() -> None:
    assert read_directory_file(KUBERNETES / "directory" / "directory.yaml").companies


def test_the_ingress_lets_files_through_to_the_portal_at_its_address() -> None:
    ingress = by_name("ingress.yaml", "Ingress")["portal"]
    host = urlsplit(settings(".")["CLAIMBUS_PORTAL_URL"]).hostname
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == host
    assert ingress["spec"]["tls"] == [{"hosts": [host], "secretName": "portal-tls"}]
    (path,) = rule["http"]["paths"]
    service = by_name("portal.yaml", "Service")[path["backend"]["service"]["name"]]
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    annotations = ingress["metadata"]["annotations"]
    sizes = [value for name, value in annotations.items() if name.endswith("body-size")]
    assert sizes == [f"{MAX_MEDIA_BYTES // 2**20}m"] * 2


def test_every_secret_is_one_that_the_guide_says_how_to_make_or_that_strimzi_makes() -> None:
    text = "\n".join(file.read_text() for file in KUBERNETES.rglob("*.yaml"))
    used = set(re.findall(r"(?:secretKeyRef|secretRef): \{name: ([a-z-]+)", text))
    used |= set(re.findall(r"secretName: ([a-z-]+)", text))
    guide = (KUBERNETES.parents[1] / "docs" / "operate" / "how-to" / "kubernetes.md").read_text()
    made = set(re.findall(r"create secret (?:generic|tls) ([a-z-]+)", guide))
    made |= {f"{service}-database" for service in WITH_DATABASE if "create secret generic $service-database" in guide}
    assert used == made | {OPERATOR, *SERVICES, "claimbus-cluster-ca-cert"}
