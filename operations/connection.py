"""How to reach a running Claimbus: the connection file that `claimbus up` writes, or environment variables."""

import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic_settings.exceptions import SettingsError

from operations.files import WrongFile
from operations.json_files import read_fields
from shared.contract.envelope import details_of
from shared.contract.outcomes import Detail
from shared.contract.topics import OPERATOR
from shared.runtime.passwords import Mechanism, PasswordInFile
from shared.runtime.settings import KafkaSettings, Protocol

DEFAULT_CONNECTION_FILE = platformdirs.user_state_path("claimbus") / "connection.json"


def _database(address: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("postgresql", "postgres") and (parts.port or 5432) > 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be postgresql://user:password@host:port/database")
    return address


def _web(address: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be http://host:port")
    return address


DatabaseAddress = Annotated[str, AfterValidator(_database)]
WebAddress = Annotated[str, AfterValidator(_web)]


class Unreachable(Exception):
    """It is not known how to reach a Claimbus, or not as the company that is asked for."""


class CompanyAccess(BaseModel):
    """A company's credentials: on the bus, and in the portal."""

    password: str = ""
    """Empty where it logs in by certificate."""
    token: str
    sasl_mechanism: Mechanism | None = None
    """By which its password is known, if not by that of all (`claimbus rotate`)."""
    username: str | None = None
    """What it is called on the bus, if not by its id: where the brokers make up the names of users."""
    ssl_certificate_file: str | None = None
    ssl_key_file: str | None = None
    """By default in the same file."""

    @property
    def token_sha256(self) -> str:
        """What the directory has of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()

    @classmethod
    def new(cls) -> "CompanyAccess":
        """Make up a password and a token."""
        return cls(password=secrets.token_urlsafe(24), token=secrets.token_urlsafe(24))


class Connection(BaseModel):
    """The connection file."""

    model_config = ConfigDict(extra="forbid")

    bootstrap_servers: str
    security_protocol: Protocol = "SASL_PLAINTEXT"
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    oauth_token_url: str | None = None
    oauth_scope: str | None = None
    oauth_extensions: str | None = None
    companies: dict[str, CompanyAccess] = {}
    portal: str | None = None
    media: str | None = None
    databases: dict[str, DatabaseAddress] = {}
    processes: dict[str, list[int]] = {}
    health: dict[str, list[WebAddress]] = {}
    """The addresses of each service's instances, for `claimbus status`."""
    ssl_ca_file: str | None = None
    companies_file: Path | None = None
    """Where the companies' passwords are kept between starts."""

    def client(self, company: str = OPERATOR) -> dict[str, Any]:
        """confluent-kafka's settings for connecting as a company. Raises Unreachable."""
        access = self._access(company)
        client: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "client.id": "claimbus",
            "topic.metadata.refresh.interval.ms": 10_000,
            "log_level": 0,
        }
        if self.ssl_ca_file:
            client["ssl.ca.location"] = self.ssl_ca_file
        if access.ssl_certificate_file:
            client["ssl.certificate.location"] = access.ssl_certificate_file
            client["ssl.key.location"] = access.ssl_key_file or access.ssl_certificate_file
        return client | self._login(access.username or company, access)

    def _login(self, username: str, access: CompanyAccess) -> dict[str, Any]:
        if self.security_protocol == "SSL":
            return {}
        mechanism = access.sasl_mechanism or self.sasl_mechanism
        if mechanism == "OAUTHBEARER":
            return {
                "sasl.mechanism": mechanism,
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.oauth_token_url,
                "sasl.oauthbearer.client.id": username,
                "sasl.oauthbearer.client.secret": access.password,
                **({"sasl.oauthbearer.scope": self.oauth_scope} if self.oauth_scope else {}),
                **({"sasl.oauthbearer.extensions": self.oauth_extensions} if self.oauth_extensions else {}),
            }
        return {"sasl.mechanism": mechanism, "sasl.username": username, "sasl.password": access.password}

    def settings(self, company: str = OPERATOR) -> KafkaSettings:
        """How our own clients connect as a company. Raises Unreachable."""
        access = self._access(company)
        try:
            return KafkaSettings(
                bootstrap_servers=self.bootstrap_servers,
                security_protocol=self.security_protocol,
                sasl_mechanism=access.sasl_mechanism or self.sasl_mechanism,
                username=access.username or company,
                password=SecretStr("" if self.security_protocol == "SSL" else access.password),
                password_file=None,
                oauth_token_url=self.oauth_token_url or "",
                oauth_scope=self.oauth_scope or "",
                oauth_extensions=self.oauth_extensions or "",
                ssl_ca_file=self.ssl_ca_file,
                ssl_certificate_file=access.ssl_certificate_file,
                ssl_key_file=access.ssl_key_file,
            )
        except ValidationError as error:
            raise Unreachable("; ".join(detail.problem for detail in details_of(error))) from None

    def _access(self, company: str) -> CompanyAccess:
        access = self.companies.get(company)
        if access is None:
            raise Unreachable(f"the connection has no password of {company}")
        if self.security_protocol == "SSL" and not access.ssl_certificate_file:
            raise Unreachable(f"the connection has no certificate of {company}")
        if self.sasl_mechanism == "OAUTHBEARER" and not self.oauth_token_url:
            raise Unreachable("the connection does not say where tokens are given (oauth_token_url)")
        return access

    def database(self, service: str) -> str:
        """Where the database of a service is. Raises Unreachable."""
        address = self.databases.get(service)
        if address is None:
            raise Unreachable(f"the connection does not say where the database of {service} is (databases.{service})")
        return address

    def access_for(self, company: str) -> CompanyAccess:
        """Find a company's password and token, or make them up; `save` keeps them."""
        return self.companies.setdefault(company, CompanyAccess.new())

    def save(self, file: Path) -> None:
        """Write the file for this user's eyes only, at once or not at all, and the companies where they are kept."""
        write_privately(file, self.model_dump_json(indent=2, exclude_none=True))
        self.keep(None)

    def keep(self, file: Path | None) -> None:
        """Write the file, if there is one, and the companies where they are kept, if they are."""
        if file is not None:
            self.save(file)
        elif self.companies_file is not None:
            companies = {name: access.model_dump(exclude_none=True) for name, access in self.companies.items()}
            write_privately(self.companies_file, json.dumps(companies, indent=2))


class _Environment(KafkaSettings):
    bootstrap_servers: str = ""
    username: str = OPERATOR
    connection_file: Path | None = None
    databases: dict[str, DatabaseAddress] = {}
    health: dict[str, list[WebAddress]] = {}


def _environment() -> _Environment:
    """Read the `CLAIMBUS_…` variables. Raises Unreachable where one is wrong."""
    try:
        return _Environment()
    except SettingsError:
        raise Unreachable(
            "CLAIMBUS_DATABASES and CLAIMBUS_HEALTH must be JSON objects, "
            'as in {"claims": "postgresql://…"} and {"claims": ["http://…"]}'
        ) from None
    except ValidationError as error:
        raise Unreachable("; ".join(_problem(detail) for detail in details_of(error))) from None


def _problem(detail: Detail) -> str:
    if detail.field == "body":  # it names its variables itself
        return detail.problem
    name, dot, rest = detail.field.partition(".")
    return f"CLAIMBUS_{name.upper()}{dot}{rest}: {detail.problem}"


def local_connection_file(option: Path | None) -> Path:
    """Where `claimbus up` writes how to reach it: the given file, the environment's, or this user's default.

    Raises Unreachable where the environment is wrong, as the next two do.
    """
    return option or _environment().connection_file or DEFAULT_CONNECTION_FILE


def find_connection_file(option: Path | None) -> Path:
    """Which connection file counts, and where new companies' passwords are kept.

    Where the environment names the brokers it is not that of `claimbus up`, which replaces and removes its own.
    """
    environment = _environment()
    if option is None and environment.bootstrap_servers and environment.connection_file is None:
        return DEFAULT_CONNECTION_FILE.with_name("companies-of-environment.json")
    return local_connection_file(option)


def load_connection(option: Path | None = None) -> Connection:
    """Find out how to reach a Claimbus: from a connection file, or from `CLAIMBUS_…` variables. Raises Unreachable.

    Where the variables name the brokers they count, and of the connection file only the companies.
    """
    environment = _environment()
    file = find_connection_file(option)
    if option is not None or not environment.bootstrap_servers:
        return _read(file)
    connection = Connection(
        bootstrap_servers=environment.bootstrap_servers,
        security_protocol=environment.security_protocol,
        sasl_mechanism=environment.sasl_mechanism,
        oauth_token_url=environment.oauth_token_url or None,
        oauth_scope=environment.oauth_scope or None,
        oauth_extensions=environment.oauth_extensions or None,
        ssl_ca_file=environment.ssl_ca_file,
        databases=environment.databases,
        health=environment.health,
        companies=_read(file).companies if file.exists() else {},
    )
    password = environment.current_password()
    login = {
        "password": str(password),
        "sasl_mechanism": password.mechanism if isinstance(password, PasswordInFile) else None,
        "ssl_certificate_file": environment.ssl_certificate_file or None,
        "ssl_key_file": environment.ssl_key_file or None,
    }
    access = connection.access_for(environment.username)
    connection.companies[environment.username] = access.model_copy(update=login)
    return connection


def _read(file: Path) -> Connection:
    if not file.exists():
        raise Unreachable(
            f"there is no connection file {file}: is `claimbus up` running? "
            "Otherwise give --connection-file or set CLAIMBUS_BOOTSTRAP_SERVERS, CLAIMBUS_USERNAME, CLAIMBUS_PASSWORD"
        )
    try:
        return read_connection(file)
    except WrongFile as error:
        raise Unreachable(str(error)) from None


def read_connection(file: Path) -> Connection:
    """Read a connection file. Raises WrongFile."""
    return read_fields(file, Connection)


def write_privately(file: Path, text: str, *, like: os.stat_result | None = None) -> None:
    """Write a file that only this user may read, or whoever may read another one, at once or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        if like is not None:
            os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        stream.write(text)
    unfinished.replace(file)
