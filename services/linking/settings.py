"""Linking's settings, besides those of every service."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.messaging.loop import Concurrency

MIB = 1024 * 1024


class LinkingSettings(BaseSettings):
    """Environment variables `CLAIMBUS_LINK_…`; times are in the unit of the name."""

    model_config = SettingsConfigDict(env_prefix="CLAIMBUS_LINK_", extra="ignore", hide_input_in_errors=True)

    give_up_after_s: float = Field(default=900.0, gt=0)
    """How long copying a link's files may take, the store being slow or away, before the claim is temporary again
    (domain rule 16)."""
    files_at_once: int = Field(default=16, ge=1)
    """How many files are copied at the same time."""
    files_at_once_of_a_link: int = Field(default=4, ge=1)
    """How many of them may be one link's, so that a large link does not hold up the links behind it."""
    parts_in_flight: int = Field(default=200, ge=1)
    """How many parts of links are worked on before no more are read."""
    bytes_in_flight: int = Field(default=32 * MIB, ge=1)
    """How large the messages of these may be together."""
    retry_first_s: float = Field(default=0.2, gt=0)
    retry_longest_s: float = Field(default=15.0, gt=0)

    def concurrency(self) -> Concurrency:
        """How many parts are worked on before no more are read."""
        return Concurrency(self.parts_in_flight, self.bytes_in_flight)
