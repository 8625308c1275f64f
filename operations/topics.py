"""`claimbus topics`: the table of topics, users and ACLs, as text, as JSON, or as Kubernetes resources."""

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from operations.connection import Unreachable, find_connection_file, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.provisioning import NotProvisioned, provision_services
from operations.quotas import CONSUMED_BYTES_PER_S, PRODUCED_BYTES_PER_S
from shared.contract.topics import (
    OPERATOR,
    SERVICES,
    TOPICS,
    Acl,
    Topic,
    acls_of_company,
    acls_of_service,
    all_acls,
)

_CLUSTER = "claimbus"


class Format(StrEnum):
    """How to print the table."""

    TEXT = "text"
    JSON = "json"
    KUBERNETES = "kubernetes"


def topics(
    company: Annotated[
        list[str] | None, typer.Option(help="Include this company's topics and user; can be given again.")
    ] = None,
    format: Annotated[Format, typer.Option(help="Kubernetes resources are Strimzi's.")] = Format.TEXT,
    cluster: Annotated[str, typer.Option(help="The Kafka cluster's name in Kubernetes.")] = _CLUSTER,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 3,
    provision: Annotated[
        bool,
        typer.Option(
            "--provision",
            help="Instead of printing: make the shared topics and the services' users and ACLs on the brokers. "
            "A service's password is CLAIMBUS_<SERVICE>_PASSWORD; a service without one is left out.",
        ),
    ] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the topics, who writes and reads them, and the ACLs that follow (contract: Topics)."""
    companies = company or []
    if provision:
        _provision(connection_file, replicas)
        return
    if as_json or format is Format.JSON:
        print_json({"topics": [_topic(topic) for topic in TOPICS], "acls": [_acl(acl) for acl in all_acls(companies)]})
    elif format is Format.KUBERNETES:
        yaml = YAML()
        yaml.explicit_start = True
        yaml.dump_all(list(kubernetes(companies, cluster, replicas)), sys.stdout)
    else:
        for topic in TOPICS:
            kept = "for ever" if topic.kept_ms < 0 else f"{topic.kept_ms // 86_400_000} days"
            out.print(f"{topic.name}: {topic.partitions} partitions by {topic.key}, kept {kept}", markup=False)
            out.print(f"    {', '.join(topic.written_by)} ▶ ▶ {', '.join(topic.read_by)}", markup=False)
        out.print()
        for acl in all_acls(companies):
            may = "may" if acl.allowed else "may not"
            out.print(
                f"{acl.user} {may} {acl.operation} {acl.resource} {acl.name}{'*' if acl.prefix else ''}", markup=False
            )


def _provision(connection_file: Path | None, replicas: int) -> None:
    passwords = {s: os.environ[v] for s in SERVICES if (v := f"CLAIMBUS_{s.upper()}_PASSWORD") in os.environ}
    try:
        connection = load_connection(connection_file)
        provision_services(connection, passwords, replication=replicas)
        connection.save(find_connection_file(connection_file))
    except (Unreachable, NotProvisioned) as error:
        fail(error)
    users = f" and the users {', '.join(passwords)}" if passwords else "; no password of a service was given"
    err.print(f"provisioned the shared topics{users}", markup=False)


def kubernetes(companies: Iterable[str], cluster: str, replicas: int) -> Iterable[dict[str, Any]]:
    """Tell Strimzi's resources: a KafkaTopic for each topic, a KafkaUser with its ACLs and quotas for each user."""
    companies = list(companies)
    for topic in TOPICS:
        for name in [topic.of(company) for company in (OPERATOR, *companies)] if topic.per_company else [topic.name]:
            config = topic.config() | {"min.insync.replicas": str(max(1, replicas - 1))}
            spec = {"partitions": topic.partitions, "replicas": replicas, "config": config}
            yield _resource("KafkaTopic", name, cluster, spec)
    for service in SERVICES:
        yield _resource("KafkaUser", service, cluster, _user(acls_of_service(service)))
    for company in companies:
        quotas = {"producerByteRate": PRODUCED_BYTES_PER_S, "consumerByteRate": CONSUMED_BYTES_PER_S}
        yield _resource("KafkaUser", company, cluster, _user(acls_of_company(company)) | {"quotas": quotas})


def _resource(kind: str, name: str, cluster: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": cluster}}
    return {"apiVersion": "kafka.strimzi.io/v1beta2", "kind": kind, "metadata": metadata, "spec": spec}


def _user(acls: Iterable[Acl]) -> dict[str, Any]:
    rules = [
        {
            "resource": {
                "type": str(acl.resource),
                "name": acl.name,
                "patternType": "prefix" if acl.prefix else "literal",
            },
            "operations": [acl.operation.capitalize()],
            **({} if acl.allowed else {"type": "deny"}),
        }
        for acl in acls
    ]
    return {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {"type": "simple", "acls": rules},
    }


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "key": topic.key,
        "written_by": list(topic.written_by),
        "read_by": list(topic.read_by),
        "partitions": topic.partitions,
        "config": topic.config(),
    }


def _acl(acl: Acl) -> dict[str, Any]:
    return {
        "user": acl.user,
        "operation": str(acl.operation),
        "resource": str(acl.resource),
        "name": acl.name,
        "prefix": acl.prefix,
        "allowed": acl.allowed,
    }
