"""Which messages each topic carries, and who writes them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.contract.commands import CheckedRequest
from shared.contract.dead_letters import DeadLetter, DeadLetterClosed
from shared.contract.directory_events import DIRECTORY_EVENTS
from shared.contract.events import CLAIM_EVENTS
from shared.contract.linking import (
    AbandonLink,
    FinishLink,
    FinishUnlink,
    GiveUpImport,
    ImportContent,
    LinkRequested,
    WithdrawContent,
)
from shared.contract.outcomes import OUTCOMES
from shared.contract.reports import ReportReady
from shared.contract.requests import REQUESTS as REQUEST_TYPES
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import (
    CLAIM_COMMANDS,
    DEAD_LETTERS,
    DIRECTORY,
    EVENTS,
    LINK_REQUESTS,
    LINK_SUGGESTIONS,
    OPERATOR,
    REPORTS,
    REQUEST_OUTCOMES,
    REQUESTS,
    SERVICES,
    Topic,
)
from shared.contract.topics import (
    CLAIM_EVENTS as CLAIM_EVENTS_TOPIC,
)


@dataclass(frozen=True)
class Carried:
    """Which messages a topic carries, and who writes those."""

    topic: Topic
    messages: tuple[type[Any], ...]
    written_by: tuple[str, ...]


CARRIED = (
    Carried(REQUESTS, tuple(REQUEST_TYPES.values()), REQUESTS.written_by),
    Carried(EVENTS, (*OUTCOMES.values(), *CLAIM_EVENTS.values(), LinkSuggested, ReportReady), EVENTS.written_by),
    Carried(DIRECTORY, tuple(DIRECTORY_EVENTS.values()), DIRECTORY.written_by),
    Carried(CLAIM_COMMANDS, (CheckedRequest,), ("permissions",)),
    Carried(CLAIM_COMMANDS, (ImportContent, GiveUpImport), ("linking",)),
    Carried(CLAIM_COMMANDS, (FinishLink, AbandonLink, WithdrawContent, FinishUnlink), ("claims",)),
    Carried(CLAIM_EVENTS_TOPIC, tuple(CLAIM_EVENTS.values()), CLAIM_EVENTS_TOPIC.written_by),
    Carried(REQUEST_OUTCOMES, tuple(OUTCOMES.values()), REQUEST_OUTCOMES.written_by),
    Carried(REPORTS, (ReportReady,), REPORTS.written_by),
    Carried(LINK_REQUESTS, (LinkRequested,), LINK_REQUESTS.written_by),
    Carried(LINK_SUGGESTIONS, (LinkSuggested,), LINK_SUGGESTIONS.written_by),
    Carried(DEAD_LETTERS, (DeadLetter,), SERVICES),
    Carried(DEAD_LETTERS, (DeadLetterClosed,), (OPERATOR,)),
)
"""Every message of the contract, by topic and writer."""


@cache
def messages() -> tuple[type[Any], ...]:
    """Every message once, in the order of its first topic."""
    return tuple(dict.fromkeys(message for carried in CARRIED for message in carried.messages))


def name_of(message: type[Any]) -> str:
    """The name of a message's schema, as in `create-temporary-claim.v1`."""
    return str(message.type()).removeprefix("claimbus.")


def topics_of(message: type[Any]) -> list[Topic]:
    """The topics that carry a message."""
    return list(dict.fromkeys(carried.topic for carried in CARRIED if message in carried.messages))
