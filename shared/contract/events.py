"""What happened to a claim, each with the claim's next version."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.contract.fields import (
    REDACTED,
    REDACTED_SHA256,
    Actor,
    Amount,
    Currency,
    Incident,
    LocalizedText,
    Message,
    Moment,
    NamedMessage,
    Personal,
    Policyholder,
    Slug,
    TaskKind,
)


class Task(Message):
    """A task as it was assigned."""

    task_id: UUID
    kind: TaskKind
    office: Slug
    company: Slug
    needs_budget: bool


class ReportedMedia(Message):
    """A file of a report."""

    media_id: UUID
    name: Annotated[str, Personal(REDACTED)]
    content_type: str
    size: Annotated[int, Personal(0)]
    """Bytes."""
    sha256: Annotated[str, Personal(REDACTED_SHA256)]
    upload_id: UUID | None = None
    """The upload that the file is; a copy that a link made is none."""

    @property
    def stored_as(self) -> UUID:
        """The id under which the store has its bytes."""
        return self.upload_id or self.media_id


class Report(Message):
    """A report on a task."""

    report_id: UUID
    text: Annotated[str | None, Personal()] = None
    media: list[ReportedMedia] = []
    finished: bool = False


class ClaimContent(Message):
    """What was written about a claim; also what `claim-amended` tells of before and after."""

    incident: Incident | None = None
    policyholder: Policyholder | None = None
    policy_number: Annotated[str | None, Personal()] = None
    partner_reference: Annotated[str | None, Personal()] = None


class ClaimEvent(NamedMessage):
    """What every event says."""

    claim_id: UUID
    version: Annotated[int, Field(ge=1)]
    """1, 2, 3 … for each claim, without gaps."""
    insurer: Slug
    at: Moment
    """The append time of the request that led to it, or of the step of a link."""
    actor: Actor
    audience: list[Slug]
    """The companies that may see it; removed before it reaches `events.<company>`."""

    @property
    def audience_after(self) -> list[str]:
        """The companies that may see the claim from this event on."""
        return self.audience


class TemporaryClaimCreated(ClaimEvent):
    """A partner created a temporary claim (domain rules 8–11)."""

    NAME = "temporary-claim-created"

    claim_number: str
    company: Slug
    """The creating company."""
    office: Slug
    incident: Incident
    policyholder: Policyholder
    policy_number: Annotated[str | None, Personal()] = None
    partner_reference: Annotated[str | None, Personal()] = None
    assigned_office: Slug | None = None
    assigned_company: Slug | None = None
    tasks: list[Task]
    inside_office_hours: bool
    time_zone: str
    """The insurer's, whose local date an incident date is."""


class ClaimRegistered(ClaimEvent):
    """The insurer registered a normal claim."""

    NAME = "claim-registered"

    claim_number: str
    handler: Slug
    incident: Incident
    policyholder: Policyholder
    policy_number: Annotated[str | None, Personal()] = None
    time_zone: str


class TaskAssigned(ClaimEvent):
    """A task was assigned; it tells what the office needs to know of the claim, which it may see from now on."""

    NAME = "task-assigned"

    task: Task
    claim_number: str
    incident: Incident
    policyholder: Policyholder


class TaskReported(ClaimEvent):
    """A task was reported on."""

    NAME = "task-reported"

    task_id: UUID
    report: Report


class BudgetApproved(ClaimEvent):
    """The insurer approved a task's budget."""

    NAME = "budget-approved"

    task_id: UUID
    amount: Amount
    currency: Currency


class ClaimConverted(ClaimEvent):
    """A temporary claim became a normal one (domain rule 14)."""

    NAME = "claim-converted"

    claim_number: str
    previous_claim_number: str
    handler: Slug


class ClaimAmended(ClaimEvent):
    """What was written was corrected; only the parts that the request gave are told."""

    NAME = "claim-amended"

    before: ClaimContent
    after: ClaimContent


class ClaimCancelled(ClaimEvent):
    """The insurer took the claim out."""

    NAME = "claim-cancelled"

    reason: Annotated[str | None, Personal()] = None


class ClaimRedacted(ClaimEvent):
    """What the claim tells of people was removed for good: its events have it no more, nor has the store its files.

    A later part of a link that would bring something to it is removed too, which this is sent for again.
    """

    NAME = "claim-redacted"

    media_ids: list[UUID] = []
    """The files that were removed."""


class TwoClaimsEvent(ClaimEvent):
    """An event of a claim that tells of another one, which not everybody who sees the first may see (domain rule 10).

    Those who may not get it without the fields `OTHER_CLAIM`.
    """

    OTHER_CLAIM: ClassVar[tuple[str, ...]]

    see_other_claim: list[Slug] = []
    """The companies that may see the other claim; removed before it reaches `events.<company>`."""


class LinkStarted(TwoClaimsEvent):
    """The temporary claim is being linked to another one (domain rule 15)."""

    NAME = "link-started"
    OTHER_CLAIM = ("target_claim_id", "target_claim_number")

    link_id: UUID
    target_claim_id: UUID
    target_claim_number: str | None = None


class LinkFailed(TwoClaimsEvent):
    """The link could not finish; the claim is temporary as before (domain rule 16)."""

    NAME = "link-failed"
    OTHER_CLAIM = ("target_claim_id",)

    link_id: UUID
    target_claim_id: UUID
    reason: str
    """A code, such as target_not_linkable."""
    message: LocalizedText | None = None
    """The same for a person."""
    media_ids: list[UUID] = []
    """The copies of files that may have been made for the link, to which nothing refers."""


class ClaimLinked(TwoClaimsEvent):
    """The temporary claim is cancelled; its content is in the target (domain rule 15)."""

    NAME = "claim-linked"
    OTHER_CLAIM = ("target_claim_id", "target_claim_number")

    link_id: UUID
    target_claim_id: UUID
    target_claim_number: str | None = None


class ImportedMedia(ReportedMedia):
    """A file's verified copy and where it came from."""

    source_media_id: UUID


class ImportedReport(Message):
    """A report's copy and where it came from."""

    report_id: UUID
    source_report_id: UUID
    text: Annotated[str | None, Personal()] = None
    media: list[ImportedMedia] = []
    lost_media: list[ReportedMedia] = []
    """Files of a report made after the link that could not be copied any more: they are gone, or damaged."""
    finished: bool = False
    at: Moment
    actor: Actor


class ImportedTask(Task):
    """A task's copy, with its reports, and where it came from."""

    source_task_id: UUID
    reports: list[ImportedReport] = []


class ContentImported(TwoClaimsEvent):
    """A temporary claim's content was imported into this one (domain rule 15).

    It tells what the offices of the tasks, which may see this claim from now on, need to know of it.
    """

    NAME = "content-imported"
    OTHER_CLAIM = ("source_claim_id", "source_claim_number")

    link_id: UUID
    part: Annotated[int, Field(ge=1)]
    """1 is the link itself; 2, 3 … are what was reported on the temporary claim since (domain rule 17)."""
    source_claim_id: UUID
    source_claim_number: str | None = None
    tasks: list[ImportedTask]
    claim_number: str | None = None
    incident: Incident | None = None
    policyholder: Policyholder | None = None


class UnlinkStarted(TwoClaimsEvent):
    """The insurer takes a link back: the imported content is to be withdrawn from the target."""

    NAME = "unlink-started"
    OTHER_CLAIM = ("target_claim_id",)

    link_id: UUID
    target_claim_id: UUID


class ContentWithdrawn(TwoClaimsEvent):
    """What a link had imported into this claim is withdrawn; the link was taken back."""

    NAME = "content-withdrawn"
    OTHER_CLAIM = ("source_claim_id",)

    seen_from_now_on_by: list[Slug]
    """Who may still see the claim, where `audience` has who could; removed before it reaches `events.<company>`."""
    link_id: UUID
    source_claim_id: UUID
    task_ids: list[UUID]
    """The tasks that are no longer this claim's, with their reports and media."""
    media_ids: list[UUID] = []
    """The copies of files that the link had made, to which nothing refers any more."""

    @property
    def audience_after(self) -> list[str]:
        """The companies that may see the claim from this event on: those that only the link brought do not."""
        return self.seen_from_now_on_by


class ClaimUnlinked(TwoClaimsEvent):
    """The cancelled claim is temporary again, with everything reported since, here or on the target."""

    NAME = "claim-unlinked"
    OTHER_CLAIM = ("target_claim_id",)

    link_id: UUID
    target_claim_id: UUID
    tasks: list[ImportedTask]
    """The tasks of this claim whose copies were reported on at the target, with just those reports.

    `task_id` is this claim's task, `source_task_id` its copy; a report and its files keep their ids.
    """


CLAIM_EVENTS: dict[str, type[ClaimEvent]] = {
    event.type(): event
    for event in (
        TemporaryClaimCreated,
        ClaimRegistered,
        TaskAssigned,
        TaskReported,
        BudgetApproved,
        ClaimConverted,
        ClaimAmended,
        ClaimCancelled,
        ClaimRedacted,
        LinkStarted,
        LinkFailed,
        ClaimLinked,
        ContentImported,
        UnlinkStarted,
        ContentWithdrawn,
        ClaimUnlinked,
    )
}
"""Every claim event by its CloudEvents type."""
