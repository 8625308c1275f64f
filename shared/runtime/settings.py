"""How a service is configured: environment variables `CLAIMBUS_…`, which is all it reads."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.tls import client_context


class KafkaSettings(BaseSettings):
    """How to reach Kafka, as one SCRAM user."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_", extra="ignore", hide_input_in_errors=True)

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = "SASL_PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_file: str | None = None
    """The authority that signed the brokers' certificates; by default those of the system."""
    portal_url: str = ""
    """Where people reach the portal of the same installation: what is for one machine alone may have easy secrets."""

    def client(self) -> dict[str, object]:
        """An aiokafka client how to connect."""
        tls = client_context(self.ssl_ca_file) if self.security_protocol == "SASL_SSL" else None
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password.get_secret_value(),
            "ssl_context": tls,
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
