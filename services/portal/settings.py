"""How the portal is configured, beside what every service is: `CLAIMBUS_PORTAL_…`."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebSettings(BaseSettings):
    """Where the pages are, and how people log in."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_PORTAL_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8000
    url: str = ""
    """The address that people use, where it is not the host and port; with https:// cookies are Secure."""
    secret: SecretStr = SecretStr("")
    """Signs the session cookies; the same for all instances."""
    session_hours: int = 12
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
    oidc_user_claim: str = "preferred_username"
    """Which claim of the ID token is the user's id in the directory."""

    @property
    def address(self) -> str:
        """Tell the address that people use."""
        return self.url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether people come over TLS."""
        return self.address.startswith("https://")
