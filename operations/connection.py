"""How to reach a running Claimbus: the connection file that `claimbus up` writes, or environment variables."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from operations.files import WrongFile
from operations.json_files import read_fields
from shared.contract.envelope import details_of
from shared.contract.topics import OPERATOR

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

    password: str
    token: str

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
    security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = "SASL_PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
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
        access = self.companies.get(company)
        if access is None:
            raise Unreachable(f"the connection has no password of {company}")
        client: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": company,
            "sasl.password": access.password,
            "client.id": "claimbus",
            "topic.metadata.refresh.interval.ms": 10_000,
            "log_level": 0,
        }
        if self.ssl_ca_file:
            client["ssl.ca.location"] = self.ssl_ca_file
        return client

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
            companies = {name: access.model_dump() for name, access in self.companies.items()}
            write_privately(self.companies_file, json.dumps(companies, indent=2))


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_", extra="ignore")

    connection_file: Path | None = None
    bootstrap_servers: str | None = None
    security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = "SASL_PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    ssl_ca_file: str | None = None
    username: str = OPERATOR
    password: str = ""
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
        problems = [(*detail.field.partition("."), detail.problem) for detail in details_of(error)]
        wrong = "; ".join(f"CLAIMBUS_{name.upper()}{dot}{rest}: {problem}" for name, dot, rest, problem in problems)
        raise Unreachable(wrong) from None


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
        ssl_ca_file=environment.ssl_ca_file,
        databases=environment.databases,
        health=environment.health,
        companies=_read(file).companies if file.exists() else {},
    )
    access = connection.access_for(environment.username)
    connection.companies[environment.username] = access.model_copy(update={"password": environment.password})
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


def write_privately(file: Path, text: str) -> None:
    """Write a file that only this user may read, at once or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    unfinished.replace(file)
