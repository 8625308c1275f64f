"""The one outcome of each request (domain rules 6 and 21)."""

from enum import StrEnum
from uuid import UUID

from shared.contract.codes import Code
from shared.contract.fields import CreationPermission, Hours, LocalizedText, Message, Moment, NamedMessage, Slug


class DecisionRule(StrEnum):
    """Which rule decided a creation request (domain rules 1 and 3)."""

    NEVER_PERMITTED = "never_permitted"
    ALWAYS_PERMITTED = "always_permitted"
    PUBLIC_HOLIDAY = "public_holiday"
    CLOSED_DAY = "closed_day"
    CLOSED_WEEKDAY = "closed_weekday"
    SPECIAL_CLOSED_DAY = "special_closed_day"
    BEFORE_OPENING = "before_opening"
    AFTER_CLOSING = "after_closing"
    INSIDE_OFFICE_HOURS = "inside_office_hours"
    SETTINGS_NOT_UNDERSTOOD = "settings_not_understood"


class Decision(Message):
    """How a creation request was decided (domain rule 6)."""

    rule: DecisionRule
    creation_permission: CreationPermission
    local_time: str
    """The request's append time in the insurer's time zone, as RFC 9557: 2026-11-24T17:12:00.000+01:00[Europe/Oslo].

    In UTC where the installation does not know that time zone; the explanation says so.
    """
    inside_office_hours: bool
    office_hours: Hours | None = None
    """The day's hours: the special ones where the date has any; absent on a day without hours."""
    holiday: str | None = None
    """The name of the holiday, also of a half one, in the country's own language."""
    explanation: LocalizedText
    """The same for a person."""


class Detail(Message):
    """What is wrong with one field; the field is a path such as incident.address.city, or a header's name."""

    field: str
    problem: str


class Outcome(NamedMessage):
    """What every outcome says."""

    request_id: str
    """The request's `ce_id`."""
    company: Slug
    request_type: str
    """The request's `ce_type` as it was sent."""
    requested_at: Moment
    """The broker's append time of the request (domain rule 4)."""


class RequestAccepted(Outcome):
    """The request took effect."""

    NAME = "request-accepted"

    claim_id: UUID | None = None
    claim_number: str | None = None
    task_ids: list[UUID] | None = None
    """The tasks that the request made, in its order."""
    effective_at: Moment | None = None
    """When a permission or setting takes effect: the append time of its message on `directory` (domain rule 4)."""
    redirected_to: UUID | None = None
    """The claim that the temporary claim was linked into, to which the request went (domain rule 17)."""
    decision: Decision | None = None
    """How a creation request was decided."""


class RequestRefused(Outcome):
    """The request had no effect, and why."""

    NAME = "request-refused"

    code: Code
    message: LocalizedText
    insurer: Slug | None = None
    """The registered insurer that a refused creation request names, for whose report it counts (domain rule 19)."""
    details: list[Detail] | None = None
    decision: Decision | None = None


OUTCOMES: dict[str, type[Outcome]] = {outcome.type(): outcome for outcome in (RequestAccepted, RequestRefused)}
"""Every outcome by its CloudEvents type."""
