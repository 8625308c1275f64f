"""Passwords of SCRAM on the brokers: a user has one in each mechanism, and so can have an old and a new one."""

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from operations.connection import Connection
from shared.runtime.passwords import Mechanism

SCRAM: dict[Mechanism, ScramMechanism] = {
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
}
_ITERATIONS = 4096
_ANSWER_S = 30
_LET_IN_S = 30.0
"""For so long a broker can refuse a password that it has yet to read."""
_TRY_S = 1.0


class NotLetIn(Exception):
    """The brokers do not let a user in with a password."""


def upsertion(user: str, mechanism: Mechanism, password: str) -> UserScramCredentialAlteration:
    """What sets a user's password in a mechanism, whether there was one or not."""
    info = ScramCredentialInfo(SCRAM[mechanism], _ITERATIONS)
    return UserScramCredentialUpsertion(user, info, password.encode())


def set_password(admin: AdminClient, user: str, mechanism: Mechanism, password: str) -> None:
    """Set a user's password in a mechanism. Raises KafkaException."""
    _alter(admin, upsertion(user, mechanism, password))


def remove_password(admin: AdminClient, user: str, mechanism: Mechanism) -> None:
    """Let a user in no more with its password of a mechanism. Raises KafkaException."""
    _alter(admin, UserScramCredentialDeletion(user, SCRAM[mechanism]))


def mechanisms_of(admin: AdminClient, user: str) -> set[Mechanism]:
    """In which mechanisms a user has a password. Raises KafkaException."""
    try:
        asked: Any = admin.describe_user_scram_credentials([user], request_timeout=_ANSWER_S)
        described = asked[user].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.RESOURCE_NOT_FOUND:
            return set()
        raise
    held = {info.mechanism for info in described.scram_credential_infos}
    return {name for name, mechanism in SCRAM.items() if mechanism in held}


def wait_until_let_in(connection: Connection, user: str) -> None:
    """Log in as a user of the connection, as soon as the brokers know its password. Raises NotLetIn."""
    problems: list[KafkaError] = []
    settings: dict[str, Any] = connection.client(user) | {
        "error_cb": problems.append,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
    }
    client = AdminClient(settings)
    deadline = time.monotonic() + _LET_IN_S
    while True:
        try:
            client.list_topics(timeout=_TRY_S)
        except KafkaException as error:
            client.poll(0)
            said = [problem.str() for problem in problems if problem.code() != KafkaError._ALL_BROKERS_DOWN]
            why = said[-1] if said else error.args[0].str()
            if time.monotonic() > deadline or "nsupported SASL mechanism" in why:
                raise NotLetIn(f"the brokers do not let {user} in: {why}") from error
        else:
            return


def _alter(admin: AdminClient, alteration: UserScramCredentialAlteration) -> None:
    for done in admin.alter_user_scram_credentials([alteration], request_timeout=_ANSWER_S).values():
        done.result()
