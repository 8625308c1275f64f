"""How a service is configured: environment variables `CLAIMBUS_…`, which is all it reads."""

import ssl
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.passwords import Mechanism, PasswordInFile
from shared.runtime.tls import client_context

Protocol = Literal["SASL_PLAINTEXT", "SASL_SSL", "SSL"]


class KafkaSettings(BaseSettings):
    """How to reach Kafka, as one user. Files are read again for each connection."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_", extra="ignore", hide_input_in_errors=True)

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Protocol = "SASL_PLAINTEXT"
    """With SSL the certificate says who it is, with the other two a password or token."""
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    """With OAUTHBEARER the client's id at the token endpoint, and the password its secret."""
    password: SecretStr = SecretStr("")
    password_file: str | None = None
    """Where the password stands, behind `{SCRAM-SHA-256}` if it is known by another mechanism than above."""
    oauth_token_url: str = ""
    oauth_scope: str = ""
    oauth_extensions: str = ""
    """What the brokers are told beside a token, as in `name=value,name=value`."""
    ssl_ca_file: str | None = None
    """The authority that signed the brokers' certificates; by default those of the system."""
    ssl_certificate_file: str | None = None
    """The service's own certificate, with those that lead to its authority."""
    ssl_key_file: str | None = None
    """The certificate's key; by default in the same file."""
    portal_url: str = ""
    """Where people reach the portal of the same installation: what is for one machine alone may have easy secrets."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Raise ValueError with all that does not."""
        if problems := [*self._contradictions(), *self._unread_files()]:
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        of_oauth = self.has_password and self.sasl_mechanism == "OAUTHBEARER"
        if self.security_protocol == "SSL" and not self.ssl_certificate_file:
            yield "CLAIMBUS_SECURITY_PROTOCOL=SSL logs in by certificate: CLAIMBUS_SSL_CERTIFICATE_FILE has to name it"
        if self.security_protocol == "SSL" and (self.password.get_secret_value() or self.password_file):
            yield "CLAIMBUS_SECURITY_PROTOCOL=SSL logs in by certificate, without CLAIMBUS_PASSWORD or its file"
        if self.security_protocol == "SASL_PLAINTEXT" and self.ssl_certificate_file:
            yield "CLAIMBUS_SSL_CERTIFICATE_FILE needs TLS: CLAIMBUS_SECURITY_PROTOCOL has to be SASL_SSL or SSL"
        if self.ssl_key_file and not self.ssl_certificate_file:
            yield "CLAIMBUS_SSL_KEY_FILE needs CLAIMBUS_SSL_CERTIFICATE_FILE"
        if self.password.get_secret_value() and self.password_file:
            yield "CLAIMBUS_PASSWORD and CLAIMBUS_PASSWORD_FILE say the same: leave one of them out"
        if of_oauth and not self.oauth_token_url:
            yield "CLAIMBUS_SASL_MECHANISM=OAUTHBEARER needs CLAIMBUS_OAUTH_TOKEN_URL"
        if not of_oauth and (self.oauth_token_url or self.oauth_scope or self.oauth_extensions):
            yield "what begins with CLAIMBUS_OAUTH_ needs CLAIMBUS_SASL_MECHANISM=OAUTHBEARER"
        if not all(name and is_one for name, is_one, _ in self._said_beside_tokens()):
            yield "CLAIMBUS_OAUTH_EXTENSIONS has to be name=value, with commas between several"

    def _unread_files(self) -> Iterator[str]:
        try:
            self.current_password()
        except (OSError, ValueError) as error:
            yield f"CLAIMBUS_PASSWORD_FILE cannot be read: {error}"
        try:
            self._tls()
        except OSError as error:
            yield f"a file of CLAIMBUS_SSL_… cannot be read: {error}"

    @property
    def has_password(self) -> bool:
        """Whether it logs in with a password, or the secret that tokens are given for."""
        return self.security_protocol != "SSL"

    def current_password(self) -> str:
        """The password, as it stands in its file now if it is in one. Raises OSError or ValueError."""
        if self.password_file:
            return PasswordInFile.read(self.password_file, self.sasl_mechanism)
        return self.password.get_secret_value()

    def client(self) -> dict[str, object]:
        """An aiokafka client how to connect. Raises OSError or ValueError where a file cannot be read."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "ssl_context": self._tls(),
            **(self._login() if self.has_password else {}),
        }

    def _said_beside_tokens(self) -> list[tuple[str, str, str]]:
        return [each.strip().partition("=") for each in self.oauth_extensions.split(",") if each.strip()]

    def _tls(self) -> ssl.SSLContext | None:
        if self.security_protocol == "SASL_PLAINTEXT":
            return None
        return client_context(self.ssl_ca_file or None, self.ssl_certificate_file or None, self.ssl_key_file or None)

    def _login(self) -> dict[str, object]:
        if self.sasl_mechanism == "OAUTHBEARER":
            from shared.runtime.tokens import Tokens  # noqa: PLC0415 - takes some MiB, and most have no tokens

            said = {name: value for name, _, value in self._said_beside_tokens()}
            tokens = Tokens(self.oauth_token_url, self.oauth_scope, self.username, self.current_password, said)
            return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": tokens}
        password = self.current_password()
        return {
            "sasl_mechanism": password.mechanism if isinstance(password, PasswordInFile) else self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": password,
        }


class ServiceSettings(KafkaSettings):
    """Every service's settings; times are in the unit of the name."""

    batch_max_records: int = Field(default=150, ge=1)
    """At most so many messages are decided in one transaction."""
    batches_apart_s: float = Field(default=0.2, ge=0)
    """How soon after the beginning of a batch that was not full the next one begins: it costs nearly as much to take in
    one message as a hundred, and none of them is in a hurry that no partner waits for."""
    rest_longest_s: float = Field(default=0, ge=0)
    """After a batch that was not full it rests for as long as that took, but no longer than this: where work is dense
    the next batch is larger, and so are those of every service behind it."""
    commits_apart_s: float = Field(default=0.1, ge=0)
    """How soon after a commit of offsets the next one may follow. What was finished meanwhile is repeated if the
    instance is killed, and comes to the same."""
    session_timeout_ms: int = Field(default=6_000, ge=1_000)
    """How long until a killed instance's partitions go to another one; brokers set bounds to it, by default 6 s."""
    metadata_max_age_ms: int = Field(default=2_000, ge=100)
    """How long until a new company's topic is seen."""
    publish_timeout_s: float = Field(default=30.0, gt=0)
    """How long the broker may take to acknowledge a batch before the producer is made anew and the batch repeated."""
    retry_first_s: float = Field(default=0.2, gt=0)
    retry_longest_s: float = Field(default=15.0, gt=0)
    instance: str = ""
    """A name that this instance keeps over restarts (static membership): if it is there again within the session
    timeout, it has its partitions still, and the others keep theirs."""
    stuck_after_s: float = Field(default=60.0, gt=0)
    """How long a batch may be in hand before the instance is no longer ready."""
    renew_after_s: float = Field(default=10.0, gt=0)
    """How long a reader may be in trouble before its consumer is made anew."""
    dead_after_s: float = Field(default=300.0, gt=0)
    """How long that may fail to help, while the brokers answer, before the process is no longer live."""
    dead_letter_share: float = Field(default=0.5, gt=0, le=1)
    """More dead letters than this among a partition's recent messages stop the service."""
    dead_letter_window: int = Field(default=100, ge=1)
    """How many messages count as recent, and at least how many must have been read before the share counts."""
    health_host: str = "127.0.0.1"
    health_port: int = 0
    """Where /health/live, /health/ready and /metrics are; 0 takes a free port and logs it."""
    stop_timeout_s: float = Field(default=15.0, gt=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class RoadSettings(ServiceSettings):
    """The settings of a service that a partner's outcome passes through: at once, and in larger batches."""

    batch_max_records: int = Field(default=300, ge=1)
    batches_apart_s: float = Field(default=0, ge=0)


class FirstOnTheRoadSettings(RoadSettings):
    """The settings of the service that meets a partner's request first, and sets the pace of those behind it."""

    rest_longest_s: float = Field(default=0.03, ge=0)


class DatabaseSettings(BaseSettings):
    """How to reach the service's own database."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_", extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = SecretStr("")
    """postgresql://user:password@host:port/database"""


class MediaSettings(BaseSettings):
    """Where media are stored, and what their keys are signed with."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_", extra="ignore", hide_input_in_errors=True)

    media: str = ""
    """file:///folder or s3://bucket/prefix; S3 is reached as the ordinary AWS_… variables say."""
    media_secret: SecretStr = SecretStr("")
    """Signs the keys of uploads, the same for portal and claims; several, with commas between: the first signs."""

    def media_secrets(self) -> list[str]:
        """The secrets, the one that signs first."""
        return self.media_secret.get_secret_value().split(",")
