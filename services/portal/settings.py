"""How the portal is configured, beside what every service is: `CLAIMBUS_PORTAL_…`."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class WebSettings(BaseSettings):
    """Where the portal is."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_PORTAL_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8000
    url: str = ""
    """The address that people and systems use, where it is not the host and port."""

    @property
    def address(self) -> str:
        """Tell the address that people and systems use."""
        return self.url.rstrip("/") or f"http://{self.host}:{self.port}"
