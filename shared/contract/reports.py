"""The report of temporary claims of one period (domain rules 18–20), and the message that says that it is made.

What each number counts is said here, once in words; `services/reporting/counting.py` says the same in SQL. A moment is
the append time of the request that led to it, and *in the period* means from `from` (inclusive) to `to` (exclusive).
Every number is a function of what happened before `to`, so that a report made late, or made again, is the same.
"""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from shared.contract.fields import Cause, Message, Moment, NamedMessage, Slug


class Created(Message):
    """Temporary claims that were created in the period."""

    total: int = 0
    inside_office_hours: int = 0
    outside_office_hours: int = 0
    by_office: dict[Slug, int] = {}
    """By the partner office that created them."""
    by_cause: dict[Cause, int] = {}
    """By the cause of the damage, as corrected before the period's end while the claim was temporary."""


class RefusedRequests(Message):
    """Requests to create a temporary claim for the insurer that were made in the period and refused."""

    total: int = 0
    by_code: dict[str, int] = {}
    """By refusal code."""


class Durations(Message):
    """Times in seconds, with interpolation between the two nearest; absent where there are none."""

    median_s: float | None = None
    p90_s: float | None = None


class Tasks(Message):
    """Tasks of temporary claims, counted while the claim was temporary."""

    assigned: int = 0
    """Tasks that were assigned in the period, with the claim's creation or later."""
    reported: int = 0
    """Tasks that were reported on for the first time in the period."""


class Figures(Message):
    """The figures of a period; those of the period before have the same form."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    insurer: Slug
    period: str
    """An ISO week such as 2026-W47, or a month such as 2026-11."""
    from_: Moment = Field(alias="from")
    """The period's first moment."""
    to: Moment
    """The first moment after it."""
    short: Literal[True] | None = None
    """There where the period begins later than its week or month: the insurer's first, or after a change of period."""
    preliminary: bool
    """Whether the period is not closed yet: the figures can still change."""
    closed_at: Moment | None = None
    """When everything of the period had been read and the report was made."""
    created: Created = Created()
    refused: RefusedRequests = RefusedRequests()
    converted: int = 0
    """Temporary claims that were made normal in the period, whenever they were created."""
    linked: int = 0
    """Temporary claims that were linked in the period, unless the link was undone before the period's end."""
    cancelled: int = 0
    """Claims that the insurer took out in the period while they were temporary."""
    waiting: int = 0
    """Claims that were temporary at the period's end, whenever they were created."""
    time_to_converted: Durations = Durations()
    """From creation until converted, of those that are counted as converted."""
    time_to_linked: Durations = Durations()
    """From creation until linked, of those that are counted as linked."""
    tasks: Tasks = Tasks()


class PeriodReport(Figures):
    """The report of a period, beside the figures of the period before it."""

    previous: Figures | None = None
    """The period before, as its report was made; absent in the insurer's first report."""

    def document(self) -> dict[str, Any]:
        """Write it as a JSON object in which what is absent is null."""
        document = self.model_dump(mode="json", by_alias=True)
        for figures in (document, document["previous"]):
            if figures is not None and figures["short"] is None:
                del figures["short"]
        return document


class ReportReady(NamedMessage):
    """The report of a period is made, and is as it will stay (domain rule 20). Its key is the insurer's id."""

    NAME = "report-ready"
    KEY: ClassVar[str] = "insurer's id"

    model_config = ConfigDict(serialize_by_alias=True)

    insurer: Slug
    period: str
    """An ISO week such as 2026-W47, or a month such as 2026-11."""
    time_zone: str
    """The insurer's, in which the period begins and ends."""
    read_up_to: dict[str, list[int]]
    """Up to where the topics had been read that it is made of: the next offset of each partition."""
    report: PeriodReport
