"""`claimbus topics`: the table of topics, users and ACLs, as text, as JSON, or as Kubernetes resources."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from operations.connection import Unreachable, find_connection_file, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.provisioning import ALL_PARTS, NotProvisioned, Part, missing_topics, provision_services
from operations.quotas import CONSUMED_BYTES_PER_S, PRODUCED_BYTES_PER_S
from shared.contract.requests import RESERVED_COMPANY_IDS
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
_SCRAM = {"type": "scram-sha-512"}
_COMPANY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")
"""What Kubernetes takes for the name of a resource (RFC 1123), apart from its length."""


class Format(StrEnum):
    """How to print the table."""

    TEXT = "text"
    JSON = "json"
    KUBERNETES = "kubernetes"


class Api(StrEnum):
    """A version of Strimzi's API."""

    V1 = "v1"
    V1BETA2 = "v1beta2"


def topics(
    company: Annotated[
        list[str] | None, typer.Option(help="Include this company's topics and user; can be given again.")
    ] = None,
    format: Annotated[Format, typer.Option(help="Kubernetes resources are Strimzi's.")] = Format.TEXT,
    cluster: Annotated[str, typer.Option(help="The Kafka cluster's name in Kubernetes.")] = _CLUSTER,
    api: Annotated[
        Api, typer.Option(help="Of Strimzi: v1 from 0.49 on, v1beta2 before; from 1.0 on there is v1 alone.")
    ] = Api.V1,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 3,
    provision: Annotated[
        bool,
        typer.Option(
            "--provision",
            help="Instead of printing: make the shared topics and the services' users and ACLs on the brokers. "
            "A service's password is CLAIMBUS_<SERVICE>_PASSWORD; a service without one is left out.",
        ),
    ] = False,
    part: Annotated[
        list[Part] | None,
        typer.Option(help="With --provision: only this, where the brokers get the rest elsewhere; can be given again."),
    ] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the topics, who writes and reads them, and the ACLs that follow."""
    companies = list(dict.fromkeys(company or []))
    for id in companies:
        if not _COMPANY.match(id) or id in RESERVED_COMPANY_IDS:
            fail(f"--company {id}: no company can have this id")
    if provision:
        _provision(connection_file, replicas, part or ALL_PARTS)
        return
    if part:
        raise typer.BadParameter("--part is for --provision")
    if as_json or format is Format.JSON:
        print_json({"topics": [_topic(topic) for topic in TOPICS], "acls": [_acl(acl) for acl in all_acls(companies)]})
    elif format is Format.KUBERNETES:
        try:
            resources = list(kubernetes(companies, cluster, replicas, api))
        except NoResource as error:
            fail(error)
        yaml = YAML()
        yaml.representer.ignore_aliases = lambda _: True
        yaml.explicit_start = True
        yaml.dump_all(resources, sys.stdout)
    else:
        for topic in TOPICS:
            kept = "for ever" if topic.kept_ms < 0 else f"{topic.kept_ms // 86_400_000} days"
            out.print(f"{topic.name}: {topic.partitions} partitions by {topic.key}, kept {kept}")
            out.print(f"    {', '.join(topic.written_by)} ▶ ▶ {', '.join(topic.read_by)}")
        out.print()
        for acl in all_acls(companies):
            may = "may" if acl.allowed else "may not"
            out.print(f"{acl.user} {may} {acl.operation} {acl.resource} {acl.name}{'*' if acl.prefix else ''}")


def _provision(connection_file: Path | None, replicas: int, parts: Sequence[Part]) -> None:
    passwords = {s: os.environ[v] for s in SERVICES if (v := f"CLAIMBUS_{s.upper()}_PASSWORD") in os.environ}
    try:
        connection = load_connection(connection_file)
        missing_topics(connection, [])  # or nobody is there
        provision_services(connection, passwords, replication=replicas, parts=parts)
        connection.save(find_connection_file(connection_file))
    except (Unreachable, NotProvisioned, KafkaException) as error:
        fail(error)
    users = f" and the users {', '.join(passwords)}" if passwords else "; no password of a service was given"
    if len(set(parts)) < len(ALL_PARTS):
        err.print(f"provisioned {' and '.join(dict.fromkeys(parts))} of what all share and of the services")
    else:
        err.print(f"provisioned the shared topics{users}")


class NoResource(Exception):
    """Kubernetes takes no such name."""


def kubernetes(companies: Iterable[str], cluster: str, replicas: int, api: Api = Api.V1) -> Iterator[dict[str, Any]]:
    """Strimzi's resources: a KafkaTopic for each topic, a KafkaUser with its ACLs and quotas for each user.

    Raises NoResource for a user that cannot be one.
    """
    kind = _Kind(cluster, api)
    companies = list(companies)
    for topic in TOPICS:
        for name in [topic.of(company) for company in (OPERATOR, *companies)] if topic.per_company else [topic.name]:
            config = topic.config() | {"min.insync.replicas": str(max(1, replicas - 1))}
            yield kind.topic(name, {"partitions": topic.partitions, "replicas": replicas, "config": config})
    yield kind.user(OPERATOR, {"authentication": _SCRAM})  # the cluster's super user, who needs no ACLs
    for service in SERVICES:
        yield kind.user(service, _user(acls_of_service(service)))
    for company in companies:
        quotas = {"producerByteRate": PRODUCED_BYTES_PER_S, "consumerByteRate": CONSUMED_BYTES_PER_S}
        yield kind.user(company, _user(acls_of_company(company)) | {"quotas": quotas})


class _Kind:
    """Makes resources of the cluster. Names are in quotes: a company may be called `on`, or 12."""

    def __init__(self, cluster: str, api: Api) -> None:
        self._cluster = cluster
        self._api = api

    def topic(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Make a KafkaTopic; a topic's name that ends with a dash, which Kubernetes does not take, is in its spec."""
        if not _NAME.match(name):
            return self._resource("KafkaTopic", f"{name}0", {"topicName": _quoted(name)} | spec)
        return self._resource("KafkaTopic", name, spec)

    def user(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Make a KafkaUser, which has no other name than its resource. Raises NoResource."""
        if not _NAME.match(name):
            raise NoResource(
                f"Kubernetes takes no resource that is called {name}, and Strimzi names a user as its resource: "
                "register this company under an id that does not end with -"
            )
        return self._resource("KafkaUser", name, spec)

    def _resource(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": _quoted(name), "labels": {"strimzi.io/cluster": _quoted(self._cluster)}}
        return {"apiVersion": f"kafka.strimzi.io/{self._api}", "kind": kind, "metadata": metadata, "spec": spec}


def _quoted(name: str) -> str:
    quoted: str = DoubleQuotedScalarString(name)
    return quoted


def _user(acls: Iterable[Acl]) -> dict[str, Any]:
    rules = [
        {
            "resource": {
                "type": str(acl.resource),
                "name": _quoted(acl.name),
                "patternType": "prefix" if acl.prefix else "literal",
            },
            "operations": [acl.operation.capitalize()],
            **({} if acl.allowed else {"type": "deny"}),
        }
        for acl in acls
    ]
    return {
        "authentication": _SCRAM,
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
