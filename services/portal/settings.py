"""The portal's settings, besides those of every service: `CLAIMBUS_PORTAL_…`."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.guessable import is_loopback


class WebSettings(BaseSettings):
    """Where the pages are, and how people log in."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_PORTAL_", extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = 8000
    url: str = ""
    """The address that people use, where it is not the host and port; https:// unless it is this machine's own."""
    certificate_file: str = ""
    """Speak TLS with this certificate, followed by those that lead to its authority; without, a proxy has to."""
    key_file: str = ""
    """The certificate's key; by default in the same file."""
    secret: SecretStr = SecretStr("")
    """Signs the session cookies; the same for all instances."""
    session_hours: int = 12
    most_connections: int = Field(default=4000, ge=1)
    """So many connections an instance has at a time, fewer where the process may not have as many files open."""
    outcome_wait_s: float = 4.0
    """So long a form that was sent waits for its outcome, in seconds, before the page says that it is on its way."""
    media_origin: str = ""
    """Where browsers send files where the media store is S3, such as https://bucket.s3.example; it must allow that."""
    log_ins_per_minute: int = 10
    """So often somebody at one address can try to log in."""
    log_in_from_directory: bool = False
    """Show a log-in page that lists the directory's users and asks for nothing: for trying, never in production."""
    oidc_issuer: str = ""
    """The OpenID Connect provider, which has /.well-known/openid-configuration below it."""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_user_claim: str = "sub"
    """Which claim of the ID token is the user's id in the directory: the subject, which alone is one person's for ever,
    or one that the provider's own administrators fill in."""

    @property
    def address(self) -> str:
        """The address that people use."""
        return self.url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether people come over TLS."""
        return urlsplit(self.address).scheme == "https"

    @property
    def is_on_loopback(self) -> bool:
        """Whether only people on this machine come."""
        return is_loopback(urlsplit(self.address).hostname or "")

    @model_validator(mode="after")
    def _is_secure_outside_loopback(self) -> "WebSettings":
        if not self.secure and not self.is_on_loopback:
            raise ValueError(
                f"people would reach the portal at {self.address}, where others can read what they send: "
                "CLAIMBUS_PORTAL_URL must begin with https://, or be at 127.0.0.1 or localhost"
            )
        return self
