"""`claimbus rotate`: a new password beside the one in use, and later the end of that, so that nobody is cut off.

A user of SCRAM has a password in each mechanism (docs/decisions/0078), so the new one is always in the other.
"""

import secrets
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from operations.connection import (
    CompanyAccess,
    Connection,
    Unreachable,
    find_connection_file,
    load_connection,
    write_privately,
)
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from operations.passwords import (
    SCRAM,
    NotLetIn,
    mechanisms_of,
    remove_password,
    set_password,
    wait_until_let_in,
)
from shared.contract.topics import OPERATOR, SERVICES
from shared.runtime.passwords import Mechanism, PasswordInFile, in_file

_OTHER: dict[Mechanism, Mechanism] = {"SCRAM-SHA-512": "SCRAM-SHA-256", "SCRAM-SHA-256": "SCRAM-SHA-512"}


class NotRotated(Exception):
    """A password was not made, or not ended: what held before holds."""


def rotate(
    user: Annotated[str, typer.Argument(help="A company's id, or a service's name.")],
    finish: Annotated[
        bool, typer.Option("--finish", help="End the old password: the one that is kept is the only one from now on.")
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(help="Where a service's password is kept: what its CLAIMBUS_PASSWORD_FILE names."),
    ] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a new password beside the old one, which holds until it is ended with --finish.

    A company's is kept in the connection file; tell the company, and finish when it has it in use.
    """
    own = user in SERVICES or user == OPERATOR
    if own and password_file is None:
        raise typer.BadParameter(f"{user} is no company: --password-file has to say where its password is kept")
    if not own and password_file is not None:
        raise typer.BadParameter(f"{user} is a company, whose password is kept in the connection file")
    try:
        connection = load_connection(connection_file)
        kept = _Kept(connection, user, password_file, find_connection_file(connection_file))
        mechanism = finish_rotation(connection, kept) if finish else begin_rotation(connection, kept)
    except (Unreachable, NotRotated, NotLetIn, KafkaException, OSError, ValueError) as error:
        fail(error)
    if as_json:
        print_json({"user": user, "sasl_mechanism": mechanism, "password_file": str(kept.file), "finished": finish})
    elif finish:
        out.print(f"{user} logs in with {mechanism} and the password in {kept.file}, and with no other")
    else:
        out.print(f"{user} can log in with {mechanism} and the password that is now in {kept.file}")
        out.print("the old one holds until you run this again with --finish")


class _Kept:
    """Where a user's password is kept."""

    def __init__(self, connection: Connection, user: str, password_file: Path | None, connection_file: Path) -> None:
        self.user = user
        self.file = password_file or connection.companies_file or connection_file
        self._connection = connection
        self._password_file = password_file
        self._connection_file = connection_file

    def read(self) -> CompanyAccess:
        """How it logs in. Raises NotRotated, OSError, or ValueError where the file is empty."""
        usual = self._connection.sasl_mechanism
        if usual not in SCRAM or self._connection.security_protocol == "SSL":
            raise NotRotated("only passwords of SCRAM are made here; others are made where the brokers look them up")
        if self._password_file is not None:
            password = PasswordInFile.read(str(self._password_file), usual)
            return CompanyAccess(password=str(password), token="", sasl_mechanism=password.mechanism)
        access = self._connection.companies.get(self.user)
        if access is None:
            raise NotRotated(f"the connection knows no company {self.user}")
        return access

    def write(self, access: CompanyAccess, mechanism: Mechanism) -> None:
        """Keep it, for the eyes of those who could read it before. Raises OSError."""
        if self._password_file is not None:
            before = self._password_file.stat()
            write_privately(self._password_file, in_file(access.password, mechanism), like=before)
            return
        self._connection.companies[self.user] = access
        self._connection.save(self._connection_file)


def begin_rotation(connection: Connection, kept: _Kept) -> Mechanism:
    """Make a new password and keep it, in the mechanism that is returned.

    Raises NotRotated, NotLetIn, KafkaException, OSError or ValueError; then the old one is kept, and the only one.
    """
    old, admin = kept.read(), AdminClient(connection.client())
    mechanism = old.sasl_mechanism or connection.sasl_mechanism
    held = mechanisms_of(admin, kept.user)
    if mechanism not in held:
        raise NotRotated(f"the brokers have no password of {kept.user} in {mechanism}")
    if len(held) > 1:
        raise NotRotated(f"two passwords of {kept.user} hold already: end the old one with --finish")
    other = _OTHER[mechanism]
    new = old.model_copy(update={"password": secrets.token_urlsafe(24), "sasl_mechanism": other})
    set_password(admin, kept.user, other, new.password)
    if mechanism not in mechanisms_of(admin, kept.user):  # as Redpanda does
        set_password(admin, kept.user, mechanism, old.password)
        raise NotRotated(f"these brokers keep one password of a user: {kept.user} has its old one again")
    try:
        _log_in(connection, kept.user, new)
        kept.write(new, other)
    except BaseException:
        remove_password(admin, kept.user, other)
        raise
    return other


def finish_rotation(connection: Connection, kept: _Kept) -> Mechanism:
    """End every password but the one that is kept, whose mechanism is returned. Safe to repeat.

    Raises NotRotated, NotLetIn, KafkaException, OSError or ValueError; then none was ended.
    """
    access, admin = kept.read(), AdminClient(connection.client())
    mechanism = access.sasl_mechanism or connection.sasl_mechanism
    _log_in(connection, kept.user, access)
    for other in mechanisms_of(admin, kept.user) - {mechanism}:
        remove_password(admin, kept.user, other)
    return mechanism


def _log_in(connection: Connection, user: str, access: CompanyAccess) -> None:
    """Raises NotLetIn."""
    wait_until_let_in(connection.model_copy(update={"companies": {user: access}}), user)
