"""What the topic `dead-letters` holds: what could not be understood, as it was, with the reason."""

from enum import StrEnum

from pydantic import Base64Bytes, ConfigDict

from shared.contract.fields import Moment, NamedMessage


class DeadLetter(NamedMessage):
    """A message put aside; its id is `<topic>/<partition>/<offset>`."""

    model_config = ConfigDict(str_strip_whitespace=False)  # it is kept as it was, to the name of a header

    NAME = "dead-letter"

    source_topic: str
    partition: int
    offset: int
    appended_at: Moment
    service: str
    reason: str
    key: Base64Bytes | None = None
    headers: list[tuple[str, Base64Bytes]]
    value: Base64Bytes | None = None
    cut: bool = False
    """Whether it was too large to be kept whole; the whole is on its topic, for as long as that is kept."""

    @property
    def id(self) -> str:
        """The letter's id: where the message was."""
        return f"{self.source_topic}/{self.partition}/{self.offset}"


class LetterAction(StrEnum):
    """What an operator did with a dead letter."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetterClosed(NamedMessage):
    """An operator sent a dead letter again, or discarded it."""

    NAME = "dead-letter-closed"

    letter: str
    """The dead letter's id."""
    action: LetterAction
    """replayed or discarded."""
