"""What companies may ask for. `ce_type` is `claimbus.<name>.v1`."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from shared.contract.fields import (
    EMPTY_IS_ABSENT,
    WHOLE,
    Amount,
    ClaimNumber,
    CompanyKind,
    Country,
    CreationPermission,
    Currency,
    Day,
    Email,
    Hours,
    Id,
    Incident,
    Line,
    Maybe,
    Media,
    Message,
    NamedMessage,
    Policyholder,
    ReportPeriod,
    RequestId,
    Sha256,
    Slug,
    TaskKind,
    Text,
    TimeZone,
    Weekday,
)

MAX_BODY_BYTES = 256 * 1024
RESERVED_COMPANY_IDS = frozenset(
    {
        "operator",
        "claimbus",
        "kafka",
        "permissions",
        "claims",
        "linking",
        "reporting",
        "delivery",
        "portal",
        "suggestions",
    },
)
"""Names that are SCRAM users or senders already; a company that had one would have that service's rights."""

_INSURER = frozenset({CompanyKind.INSURER})
_PARTNER = frozenset({CompanyKind.PARTNER})
_OPERATOR = frozenset({CompanyKind.OPERATOR})


FEWEST_DAYS_TO_KEEP = 30


def _never_or_long_enough(days: int) -> int:
    if 0 < days < FEWEST_DAYS_TO_KEEP:
        raise ValueError(f"must be 0, which is never, or at least {FEWEST_DAYS_TO_KEEP}")
    return days


ForgetAfterDays = Annotated[
    int,
    Field(ge=0, le=36500),
    WHOLE,
    AfterValidator(_never_or_long_enough),
    WithJsonSchema({"anyOf": [{"const": 0}, {"type": "integer", "minimum": FEWEST_DAYS_TO_KEEP, "maximum": 36500}]}),
]
"""Days after which a claim is redacted; nobody gets back what went too soon."""


class Request(NamedMessage):
    """A request; `SENT_BY` are the kinds of company that may send it."""

    SENT_BY: ClassVar[frozenset[CompanyKind]]


class ClaimRequest(Request):
    """A request about a claim that exists."""

    claim_id: Id


class DirectoryRequest(Request):
    """A request that changes the directory or settings; permissions answers it and `directory` remembers it."""


class NewTask(Message):
    """A task to assign at once; without an office it is the creating office's (or the assigned office's)."""

    kind: TaskKind
    office: Maybe[Slug] = None


class CreateTemporaryClaim(Request):
    """Create a temporary claim (domain rule 8)."""

    NAME = "create-temporary-claim"
    SENT_BY = _PARTNER

    insurer: Slug
    office: Slug
    incident: Incident
    policyholder: Policyholder
    claim_number: Maybe[ClaimNumber] = None
    """For offices that hold the right to define it; else it is made (domain rule 9)."""
    policy_number: Maybe[Line] = None
    partner_reference: Maybe[Line] = None
    assigned_office: Maybe[Slug] = None
    tasks: Annotated[list[NewTask], Field(max_length=100), EMPTY_IS_ABSENT] = []


class AssignTask(ClaimRequest):
    """Assign a task of a claim to an office; by default the sender's own office on the claim (domain rule 11)."""

    NAME = "assign-task"
    SENT_BY = _PARTNER | _INSURER

    kind: TaskKind
    office: Maybe[Slug] = None


class ReportTask(ClaimRequest):
    """Report on a task: text, files, and whether it is finished."""

    NAME = "report-task"
    SENT_BY = _PARTNER | _INSURER

    task_id: Id
    text: Maybe[Text] = None
    media: Annotated[list[Media], Field(max_length=5000), EMPTY_IS_ABSENT] = []
    finished: Annotated[bool, EMPTY_IS_ABSENT] = False

    @model_validator(mode="after")
    def _reports_something(self) -> "ReportTask":
        if self.text is None and not self.media and not self.finished:
            raise ValueError("give at least one of text, media, finished")
        return self


class RegisterClaim(Request):
    """Register a normal claim."""

    NAME = "register-claim"
    SENT_BY = _INSURER

    claim_number: ClaimNumber
    handler: Slug
    incident: Incident
    policyholder: Policyholder
    policy_number: Maybe[Line] = None


class ConvertToNormal(ClaimRequest):
    """Make a temporary claim a normal one (domain rule 14)."""

    NAME = "convert-to-normal"
    SENT_BY = _INSURER

    claim_number: ClaimNumber
    handler: Slug


class AmendClaim(ClaimRequest):
    """Correct what was written; each part given replaces the whole of it, what is left out stays (domain rule 14).

    At least one part must be given.
    """

    NAME = "amend-claim"
    SENT_BY = _PARTNER | _INSURER

    incident: Maybe[Incident] = None
    policyholder: Maybe[Policyholder] = None
    policy_number: Maybe[Line] = None
    partner_reference: Maybe[Line] = None

    @model_validator(mode="after")
    def _amends_something(self) -> "AmendClaim":
        if not (self.incident or self.policyholder or self.policy_number or self.partner_reference):
            raise ValueError("give at least one of incident, policyholder, policy_number, partner_reference")
        return self


class CancelClaim(ClaimRequest):
    """Take a claim out: a mistake, a hoax (domain rule 14)."""

    NAME = "cancel-claim"
    SENT_BY = _INSURER

    reason: Maybe[Text] = None


class RedactClaim(ClaimRequest):
    """Remove for good what a claim tells of people; not of one that is temporary, or whose link is under way."""

    NAME = "redact-claim"
    SENT_BY = _OPERATOR | _INSURER


class CreationRequest(Message):
    """A request that would have created a claim, and was refused."""

    company: Slug
    request_id: RequestId


class RepublishClaim(ClaimRequest):
    """Send the outcome of a claim's creation and all its events again, for one reader."""

    NAME = "republish-claim"
    SENT_BY = _OPERATOR

    reader: Slug
    """`reporting`, `portal`, `suggestions`, or a company."""
    refused: Maybe[CreationRequest] = None
    """Where the creation was refused, so that there is no claim: which request it was. Then its outcome is sent."""


class LinkClaim(ClaimRequest):
    """Link a temporary claim into another claim of the same insurer (domain rule 15).

    The target is named by its id or its number, not both.
    """

    NAME = "link-claim"
    SENT_BY = _INSURER

    target_claim_id: Maybe[Id] = None
    target_claim_number: Maybe[ClaimNumber] = None

    @model_validator(mode="after")
    def _names_one_target(self) -> "LinkClaim":
        if (self.target_claim_id is None) == (self.target_claim_number is None):
            raise ValueError("give either target_claim_id or target_claim_number")
        return self


class UnlinkClaim(ClaimRequest):
    """Take a link back: the cancelled claim is temporary again, and the target gives up what it had imported."""

    NAME = "unlink-claim"
    SENT_BY = _INSURER


class ApproveBudget(ClaimRequest):
    """Approve the budget of a task, after which it can be reported on (domain rule 11)."""

    NAME = "approve-budget"
    SENT_BY = _INSURER

    task_id: Id
    amount: Amount
    """A decimal number as a string, never a float."""
    currency: Currency
    """ISO 4217."""


class SetOfficePermission(DirectoryRequest):
    """Give an office its creation permission and rights (domain rules 1 and 7); a right left out stays."""

    NAME = "set-office-permission"
    SENT_BY = _INSURER

    office: Slug
    creation: CreationPermission
    may_assign_to_others: Maybe[bool] = None
    may_define_claim_number: Maybe[bool] = None


class SetPortalSettings(DirectoryRequest):
    """Set what the insurer decides for itself (domain rule 2); what is left out stays.

    `office_hours` is merged day by day (null closes a day), `closed_days` and `special_hours` are given as a whole.
    """

    NAME = "set-portal-settings"
    SENT_BY = _INSURER

    time_zone: Maybe[TimeZone] = None
    """An IANA time zone, such as Europe/Oslo."""
    country: Maybe[Country] = None
    """Whose public holidays count: ISO 3166-1 alpha-2."""
    subdivision: Maybe[Line] = None
    """The part of the country, for its own holidays; null takes it away."""
    holiday_categories: Maybe[Annotated[list[Line], Field(max_length=50)]] = None
    """Which of the country's holidays count, by the categories of the package `holidays`, such as public or de_facto;
    an empty list, and another country, makes it what is usual there again."""
    office_hours: Maybe[dict[Weekday, Hours | None]] = None
    closed_days: Maybe[Annotated[list[Day], Field(max_length=2000)]] = None
    special_hours: Maybe[Annotated[dict[Day, Hours | None], Field(max_length=2000)]] = None
    enhanced_function: Maybe[bool] = None
    inspection_needs_budget: Maybe[bool] = None
    report_period: Maybe[ReportPeriod] = None
    unlink_days: Maybe[Annotated[int, Field(ge=0, le=3650), WHOLE]] = None
    """For how many days after a claim was linked the link can be taken back; 30 by default."""
    forget_after_days: Maybe[ForgetAfterDays] = None
    """So many days after the last that happened to it a claim is redacted (`redact-claim`), if it is cancelled, or
    normal without open tasks; 0, as it is by default, is never."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, body: Any) -> Any:
        # Null is not left out here: it takes a subdivision away. An empty text never does.
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if not isinstance(value, str) or value.strip()}

    @model_validator(mode="after")
    def _sets_something(self) -> "SetPortalSettings":
        named = {n for n in self.model_fields_set if n == "subdivision" or getattr(self, n) is not None}
        if not named:
            raise ValueError("give at least one setting")
        return self


def _insurer_or_partner(kind: Any) -> Any:
    if kind == CompanyKind.OPERATOR:
        raise ValueError("must be insurer or partner")
    return kind


class RegisterCompany(DirectoryRequest):
    """Register a company, or give it another name."""

    NAME = "register-company"
    SENT_BY = _OPERATOR

    id: Slug
    name: Line
    kind: Annotated[
        CompanyKind,
        BeforeValidator(_insurer_or_partner),
        WithJsonSchema({"type": "string", "enum": ["insurer", "partner"]}),
    ]
    token_sha256: Maybe[Sha256] = None
    """The SHA-256 of the bearer token with which its systems call the portal; left out, it keeps the one it has."""


class RegisterOffice(DirectoryRequest):
    """Register an office of a company, or give it another name."""

    NAME = "register-office"
    SENT_BY = _OPERATOR | _INSURER | _PARTNER

    id: Slug
    company: Slug
    name: Line


class RegisterUser(DirectoryRequest):
    """Register a user of a company, or change what was registered."""

    NAME = "register-user"
    SENT_BY = _OPERATOR | _INSURER | _PARTNER

    id: Slug
    company: Slug
    name: Line
    office: Maybe[Slug] = None
    email: Maybe[Email] = None
    authorisation_level: Annotated[int, Field(ge=1, le=6), WHOLE]
    """1–6 in an insurer, 1–4 in a partner."""


class RemoveCompany(DirectoryRequest):
    """Take a company out, with its offices, its users, and the permissions that it has given or got."""

    NAME = "remove-company"
    SENT_BY = _OPERATOR

    id: Slug


class RemoveOffice(DirectoryRequest):
    """Take an office out, with its permissions; its users first. Another company can register it then."""

    NAME = "remove-office"
    SENT_BY = _OPERATOR | _INSURER | _PARTNER

    id: Slug
    company: Slug


class RemoveUser(DirectoryRequest):
    """Take a user out, who can log in no more."""

    NAME = "remove-user"
    SENT_BY = _OPERATOR | _INSURER | _PARTNER

    id: Slug
    company: Slug


REQUESTS: dict[str, type[Request]] = {
    request.type(): request
    for request in (
        CreateTemporaryClaim,
        AssignTask,
        ReportTask,
        RegisterClaim,
        ConvertToNormal,
        AmendClaim,
        CancelClaim,
        RedactClaim,
        RepublishClaim,
        LinkClaim,
        UnlinkClaim,
        ApproveBudget,
        SetOfficePermission,
        SetPortalSettings,
        RegisterCompany,
        RegisterOffice,
        RegisterUser,
        RemoveCompany,
        RemoveOffice,
        RemoveUser,
    )
}
"""Every request by its CloudEvents type."""
