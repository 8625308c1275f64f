"""Making the cluster what the contract's table says: topics, SCRAM users, ACLs, and a quota for each company."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaError as AIOKafkaError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from operations.connection import Connection
from operations.quotas import QuotaRefused, set_quotas
from shared.contract.topics import (
    OPERATOR,
    SERVICES,
    TOPICS,
    Acl,
    Resource,
    Topic,
    acls_of_company,
    acls_of_service,
)

_TIMEOUT_S = 30
_SCRAM_ITERATIONS = 4096


class NotProvisioned(Exception):
    """The cluster would not take what it was asked to."""


def provision_services(connection: Connection, passwords: Mapping[str, str], *, replication: int = 1) -> None:
    """Make the topics that all share and the operator's own, and each service's user with its rights.

    Safe to repeat: what is there stays, passwords are set anew. Raises NotProvisioned.
    """
    admin = AdminClient(connection.client())
    shared = [(topic.name, topic) for topic in TOPICS if not topic.per_company]
    _create_topics(admin, [*shared, *_topics_of(OPERATOR)], replication)
    _set_passwords(admin, connection, {name: passwords[name] for name in SERVICES if name in passwords})
    _create_acls(admin, [acl for name in SERVICES if name in passwords for acl in acls_of_service(name)])


def provision_companies(connection: Connection, companies: Iterable[str], *, replication: int = 1) -> None:
    """Make each company's two topics, its user with its rights, and its quota; safe to repeat. Raises NotProvisioned.

    Passwords are those of the connection, or made up and put there.
    """
    companies = list(companies)
    if not companies:
        return
    admin = AdminClient(connection.client())
    _create_topics(admin, [topic for company in companies for topic in _topics_of(company)], replication)
    _set_passwords(admin, connection, {company: connection.access_for(company).password for company in companies})
    _create_acls(admin, [acl for company in companies for acl in acls_of_company(company)])
    try:
        set_quotas(connection, companies)
    except (QuotaRefused, AIOKafkaError) as error:
        raise NotProvisioned(f"the companies' quotas: {error or type(error).__name__}") from error


def missing_topics(connection: Connection, companies: Iterable[str]) -> list[str]:
    """Tell the companies' topics that do not exist."""
    existing = AdminClient(connection.client()).list_topics(timeout=_TIMEOUT_S).topics
    return [name for company in companies for name, _ in _topics_of(company) if name not in existing]


def _topics_of(company: str) -> list[tuple[str, Topic]]:
    return [(topic.of(company), topic) for topic in TOPICS if topic.per_company]


def _create_topics(admin: AdminClient, topics: Iterable[tuple[str, Topic]], replication: int) -> None:
    wanted = [
        NewTopic(name, topic.partitions, replication, config=topic.config() | _safety(replication))
        for name, topic in topics
    ]
    _wait(admin.create_topics(wanted, operation_timeout=_TIMEOUT_S), fine=KafkaError.TOPIC_ALREADY_EXISTS)


def _safety(replication: int) -> dict[str, str]:
    """With three replicas two acknowledge a message, so that losing a broker neither stops nor loses anything."""
    return {"min.insync.replicas": str(max(1, replication - 1))}


def _set_passwords(admin: AdminClient, connection: Connection, passwords: Mapping[str, str]) -> None:
    mechanism = {
        "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
        "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    }[connection.sasl_mechanism]
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, _SCRAM_ITERATIONS), password.encode())
        for user, password in passwords.items()
    ]
    if changes:
        _wait(admin.alter_user_scram_credentials(changes))


def _create_acls(admin: AdminClient, acls: Iterable[Acl]) -> None:
    bindings = [
        AclBinding(
            {Resource.TOPIC: ResourceType.TOPIC, Resource.GROUP: ResourceType.GROUP}[acl.resource],
            acl.name,
            ResourcePatternType.PREFIXED if acl.prefix else ResourcePatternType.LITERAL,
            f"User:{acl.user}",
            "*",
            AclOperation[acl.operation.name],
            AclPermissionType.ALLOW if acl.allowed else AclPermissionType.DENY,
        )
        for acl in acls
    ]
    if bindings:
        _wait(admin.create_acls(bindings))


def _wait(futures: Mapping[Any, Any], fine: int | None = None) -> None:
    for what, future in futures.items():
        try:
            future.result(timeout=_TIMEOUT_S)
        except TimeoutError:
            raise NotProvisioned(f"{what}: the brokers do not answer") from None
        except KafkaException as error:
            if error.args[0].code() != fine:
                raise NotProvisioned(f"{what}: {error.args[0].str()}") from error
