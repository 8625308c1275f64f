"""Making the cluster what the contract's table says: topics, SCRAM users, ACLs, and a quota for each company."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError
from aiokafka.errors import KafkaError as AIOKafkaError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from operations.connection import Connection
from operations.patience import ask
from operations.quotas import NO_LIMIT, QuotaRefused, set_quotas
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
_TRIES = 3
_LOOK_EVERY_S = 0.1
_LATE = (
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
)
_SCRAM_ITERATIONS = 4096


Late = Callable[[str], None]
"""Gets what the brokers have not answered in time; it is asked again unless this raises."""


class NotProvisioned(Exception):
    """The cluster would not take what it was asked to."""


class BrokersLate(NotProvisioned):
    """The brokers did not answer, after several tries."""


class _Patience:
    """How commands wait: a few tries, after which the brokers are unlikely to answer."""

    def __init__(self) -> None:
        self._left = _TRIES

    def __call__(self, what: str) -> None:
        self._left -= 1
        if not self._left:
            raise BrokersLate(f"{what}: the brokers do not answer")


def provision_services(
    connection: Connection, passwords: Mapping[str, str], *, replication: int = 1, late: Late | None = None
) -> None:
    """Make the topics that all share and the operator's own, and each service's user with its rights.

    Safe to repeat: what is there stays, passwords are set again. Raises NotProvisioned.
    """
    cluster = _Cluster(connection, replication, late)
    shared = [(topic.name, topic) for topic in TOPICS if not topic.per_company]
    cluster.create_topics([*shared, *_topics_of(OPERATOR)])
    cluster.set_passwords({name: passwords[name] for name in SERVICES if name in passwords})
    rights = [acl for name in SERVICES if name in passwords for acl in acls_of_service(name)]
    if rights:
        cluster.create_acls(rights)
        cluster.wait_for_acl(rights[-1])


def provision_companies(
    connection: Connection,
    companies: Iterable[str],
    *,
    replication: int = 1,
    partitions: Mapping[str, int] = MappingProxyType({}),
    late: Late | None = None,
) -> None:
    """Make each company's user with its rights, its quota and its two topics; safe to repeat. Raises NotProvisioned.

    A company's topics get as many `partitions` as are given for it, or as the contract has.

    Passwords are those of the connection, or made up and put there. The topics come last: where they are, all else
    is, and whoever was broken off begins again with the companies that lack one. The brokers take only so much at
    once (10,000 records, of which a company makes some twenty), so ask for some hundred companies at most.
    """
    companies = list(companies)
    if not companies:
        return
    cluster = _Cluster(connection, replication, late)
    cluster.set_passwords({company: connection.access_for(company).password for company in companies})
    cluster.create_acls([acl for company in companies for acl in acls_of_company(company)])
    cluster.set_quotas(companies)
    cluster.create_topics(
        (name, replace(topic, partitions=partitions.get(company, topic.partitions)))
        for company in companies
        for name, topic in _topics_of(company)
    )
    cluster.wait_for_topics(companies)


def take_company_out(connection: Connection, company: str) -> None:
    """Delete a company's rights, which holds at once, its user and its quota; safe to repeat. Raises NotProvisioned."""
    cluster = _Cluster(connection, 1, None)
    cluster.delete_acls(company)
    cluster.delete_password(company)
    set_quotas(connection, [company], NO_LIMIT)


def missing_topics(connection: Connection, companies: Iterable[str]) -> list[str]:
    """The companies' topics that do not exist."""
    admin = AdminClient(connection.client())
    existing = ask(lambda wait_s: admin.list_topics(timeout=wait_s), _TIMEOUT_S).topics
    return [name for company in companies for name, _ in _topics_of(company) if name not in existing]


def _topics_of(company: str) -> list[tuple[str, Topic]]:
    return [(topic.of(company), topic) for topic in TOPICS if topic.per_company]


class _Cluster:
    """Asks the brokers, and again where they are late: all of it can be asked for twice."""

    def __init__(self, connection: Connection, replication: int, late: Late | None) -> None:
        self._connection = connection
        self._admin = AdminClient(connection.client())
        self._replication = replication
        self._late = late or _Patience()

    def create_topics(self, topics: Iterable[tuple[str, Topic]]) -> None:
        wanted = [
            NewTopic(name, topic.partitions, self._replication, config=topic.config() | _safety(self._replication))
            for name, topic in topics
        ]
        self._settle(
            "topics",
            lambda: self._admin.create_topics(wanted, operation_timeout=_TIMEOUT_S, request_timeout=2 * _TIMEOUT_S),
            fine=KafkaError.TOPIC_ALREADY_EXISTS,
        )

    def wait_for_topics(self, companies: list[str]) -> None:
        """Wait until the brokers know what the controller has made: clients see no topic before that."""
        deadline = time.monotonic() + _TIMEOUT_S
        while missing_topics(self._connection, companies):
            time.sleep(_LOOK_EVERY_S)
            if time.monotonic() > deadline:
                self._late("topics")
                deadline = time.monotonic() + _TIMEOUT_S

    @property
    def _mechanism(self) -> ScramMechanism:
        return {
            "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
            "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
        }[self._connection.sasl_mechanism]

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        mechanism = self._mechanism
        changes: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, _SCRAM_ITERATIONS), password.encode())
            for user, password in passwords.items()
        ]
        if changes:
            self._settle("users", lambda: self._admin.alter_user_scram_credentials(changes, request_timeout=_TIMEOUT_S))

    def delete_password(self, user: str) -> None:
        gone = UserScramCredentialDeletion(user, self._mechanism)
        self._settle(
            "users",
            lambda: self._admin.alter_user_scram_credentials([gone], request_timeout=_TIMEOUT_S),
            fine=KafkaError.RESOURCE_NOT_FOUND,
        )

    def delete_acls(self, user: str) -> None:
        of_user = every_binding(f"User:{user}")
        self._settle("rights", lambda: self._admin.delete_acls([of_user], request_timeout=_TIMEOUT_S))

    def create_acls(self, acls: Iterable[Acl]) -> None:
        bindings = [binding(acl) for acl in acls]
        if bindings:
            self._settle("rights", lambda: self._admin.create_acls(bindings, request_timeout=_TIMEOUT_S))

    def wait_for_acl(self, acl: Acl) -> None:
        """Wait until the broker knows of a right, and so of the users that were made before: the controller knew first.

        Whoever logs in before that is refused.
        """
        deadline = time.monotonic() + _TIMEOUT_S
        wanted = binding_filter(acl)
        while not self._is_there(wanted):
            time.sleep(_LOOK_EVERY_S)
            if time.monotonic() > deadline:
                self._late("rights")
                deadline = time.monotonic() + _TIMEOUT_S

    def _is_there(self, wanted: AclBindingFilter) -> bool:
        try:
            return bool(self._admin.describe_acls(wanted, request_timeout=_TIMEOUT_S).result())
        except KafkaException as error:
            if error.args[0].code() in _LATE:
                return False
            raise NotProvisioned(f"rights: {error.args[0].str()}") from error

    def set_quotas(self, companies: list[str]) -> None:
        while True:
            try:
                return set_quotas(self._connection, companies)
            except (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError):
                self._late("quotas")
            except (QuotaRefused, AIOKafkaError) as error:
                raise NotProvisioned(f"the companies' quotas: {error or type(error).__name__}") from error

    def _settle(self, kind: str, ask: Callable[[], Mapping[Any, Any]], fine: int | None = None) -> None:
        while late := [what for what, future in ask().items() if not self._is_done(what, future, fine)]:
            self._late(f"{len(late)} {kind}")

    def _is_done(self, what: Any, future: Any, fine: int | None) -> bool:
        try:
            future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in _LATE:
                return False
            if code != fine:
                raise NotProvisioned(f"{what}: {error.args[0].str()}") from error
        return True


def binding(acl: Acl) -> AclBinding:
    """A right as the brokers keep it."""
    return AclBinding(*_described(acl))


def binding_filter(acl: Acl) -> AclBindingFilter:
    """What finds a right among those that the brokers keep."""
    return AclBindingFilter(*_described(acl))


def every_binding(
    principal: str | None = None, permission: AclPermissionType = AclPermissionType.ANY
) -> AclBindingFilter:
    """What finds all rights, or all of a principal, and of them refusals alone, or what is allowed."""
    of_any: Any = None  # the library's type has no room for it
    return AclBindingFilter(
        ResourceType.ANY, of_any, ResourcePatternType.ANY, principal or of_any, of_any, AclOperation.ANY, permission
    )


def _described(acl: Acl) -> tuple[Any, ...]:
    """A right as Kafka's clients say it."""
    return (
        {Resource.TOPIC: ResourceType.TOPIC, Resource.GROUP: ResourceType.GROUP}[acl.resource],
        acl.name,
        ResourcePatternType.PREFIXED if acl.prefix else ResourcePatternType.LITERAL,
        f"User:{acl.user}",
        "*",
        AclOperation[acl.operation.name],
        AclPermissionType.ALLOW if acl.allowed else AclPermissionType.DENY,
    )


def _safety(replication: int) -> dict[str, str]:
    """With three replicas two acknowledge a message, so that losing a broker neither stops nor loses anything."""
    return {"min.insync.replicas": str(max(1, replication - 1))}
