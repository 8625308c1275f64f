"""`claimbus pause` and `claimbus resume`: a company that sends nothing more, or a service that takes nothing more on.

The brokers refuse it a right, which wins over what is allowed and holds at once for whatever is connected. It is no
setting of a process, so it outlives restarts and reaches every instance.
"""

from typing import Annotated

import typer
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclPermissionType, AdminClient

from operations.connection import Connection, Unreachable, load_connection
from operations.options import ConnectionFile, fail, out
from operations.provisioning import binding, binding_filter, every_binding, missing_topics
from shared.contract.topics import OPERATOR, REQUESTS, SERVICES, Acl, Operation, Resource

_ANSWER_S = 15.0
Name = Annotated[str, typer.Argument(help="A company's id, or a service.")]


def pause(name: Name, connection_file: ConnectionFile = None) -> None:
    """Let a company send nothing more, or a service take nothing more on, until `claimbus resume`.

    What a company has sent is still decided, and it still reads its events; what comes for a service waits.
    """
    connection = _connection_that_knows(name, connection_file)
    admin = AdminClient(connection.client())
    try:
        (made,) = admin.create_acls([binding(_refused(name))]).values()
        made.result(_ANSWER_S)
    except KafkaException as error:
        fail(f"it was not paused: {error.args[0].str()}")
    what = "takes nothing more on" if name in SERVICES else "can send nothing more"
    out.print(f"{name} {what}, until `claimbus resume {name}`")


def resume(name: Name, connection_file: ConnectionFile = None) -> None:
    """Let a company send again, or a service go on where it was."""
    connection = _connection_that_knows(name, connection_file)
    admin = AdminClient(connection.client())
    try:
        (gone,) = admin.delete_acls([binding_filter(_refused(name))]).values()
        was_paused = bool(gone.result(_ANSWER_S))
    except KafkaException as error:
        fail(f"it was not resumed: {error.args[0].str()}")
    what = "takes on what comes" if name in SERVICES else "can send"
    out.print(f"{name} {what} again" if was_paused else f"{name} was not paused")


def paused(connection: Connection) -> list[str]:
    """Return the services and companies that are paused. Raises KafkaException."""
    refusals = every_binding(permission=AclPermissionType.DENY)
    admin = AdminClient(connection.client())
    try:
        found = admin.describe_acls(refusals).result(_ANSWER_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.SECURITY_DISABLED:
            return []
        raise
    users = {each.principal.removeprefix("User:") for each in found}
    return sorted(user for user in users if binding(_refused(user)) in found)


def _refused(name: str) -> Acl:
    """The right that is taken away."""
    if name in SERVICES:
        return Acl(name, Operation.READ, Resource.GROUP, name, allowed=False)
    return Acl(name, Operation.WRITE, Resource.TOPIC, REQUESTS.of(name), allowed=False)


def _connection_that_knows(name: str, connection_file: ConnectionFile) -> Connection:
    try:
        connection = load_connection(connection_file)
        if name == OPERATOR:
            fail("the operator cannot be paused")
        if name not in SERVICES and missing_topics(connection, [name]):
            fail(f"there is no company {name} on the bus, and no such service")
    except Unreachable as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    return connection
