"""What a claim's history must be like by itself: versions, what they make of the claim, and ids. No I/O."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.audit.spool import digest
from shared.audit.violations import Violation, named
from shared.contract import ids
from shared.contract.events import (
    CLAIM_EVENTS,
    ClaimConverted,
    ClaimEvent,
    ClaimLinked,
    ClaimRedacted,
    ClaimRegistered,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    LinkFailed,
    LinkStarted,
    ReportedMedia,
    Task,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)
from shared.contract.redaction import redacted

VERSIONS = named("versions-without-hole", "A claim's versions are 1, 2, 3 … without a hole, up to the claim's own.")
REPLAY = named("claim-replays", "Replaying a claim's events gives the claim as the record has it.")
IDS = named("ids-as-computed", "Claims, tasks, reports, files and links have the ids that the contract computes.")
AUDIENCE = named("audience-as-computed", "An event is for those who may see its claim, before it or after it.")
EMPTIED = named("redacted-claims-emptied", "The record has nothing of people on a claim that was redacted.")
READ_MODELS = named(
    "read-models-replay", "What the portal, suggestions and reporting have of a claim is what its events make of it."
)
WAITING = named("waiting-as-listed", "The portal shows as many temporary claims of an insurer as its lists have.")
REPORTS = named("reports-as-counted", "Counting the period of a report again gives the report.")


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of the record, with the request or step that led to it."""

    version: int
    company: str
    request_id: str
    type: str
    body: bytes

    def read(self) -> ClaimEvent:
        """Read the event. Raises ValueError where it is none."""
        if self.type not in CLAIM_EVENTS:
            raise ValueError(f"there is no event {self.type}")
        return CLAIM_EVENTS[self.type].model_validate_json(self.body)


@dataclass(frozen=True, slots=True)
class RecordedClaim:
    """A claim of the record with its whole history; without its row where only events were found."""

    id: UUID
    version: int | None
    insurer: str | None
    state: str | None
    claim: Any
    """As the record has it, read: whatever `apply` makes."""
    history: Sequence[RecordedEvent]


def check_history(claim: RecordedClaim, apply: Callable[[Any, ClaimEvent], Any]) -> Iterator[Violation]:
    """Find what is wrong with one claim; `apply` makes an event's change to it."""
    about = str(claim.id)
    versions = [event.version for event in claim.history]
    if versions != list(range(1, len(versions) + 1)) or not versions:
        yield Violation(VERSIONS, about, f"its versions are {_shortened(versions)}")
    elif claim.version is not None and claim.version != len(versions):
        yield Violation(VERSIONS, about, f"it is at version {claim.version}, and has {len(versions)} events")
    if claim.version is None:
        yield Violation(REPLAY, about, "it has events, and no row")
        return
    try:
        replayed = None
        events = [recorded.read() for recorded in claim.history]
        if redaction_of(events) is not None:
            for event in events:
                if redacted(event) != event:
                    yield Violation(EMPTIED, f"{about}/{event.version}", "it is redacted, and this tells of people")
        for recorded, event in zip(claim.history, events, strict=True):
            if (event.claim_id, event.version) != (claim.id, recorded.version):
                yield Violation(REPLAY, about, f"event {recorded.version} says {event.claim_id}/{event.version}")
            yield from (
                Violation(IDS, f"{about}/{recorded.version}", problem) for problem in wrong_ids(event, recorded)
            )
            seen_by: list[str] = [] if replayed is None else replayed.audience
            replayed = apply(replayed, event)
            audience = sorted({*seen_by, *replayed.audience})
            if (event.audience, event.audience_after) != (audience, replayed.audience):
                yield Violation(AUDIENCE, f"{about}/{recorded.version}", f"it should be for {', '.join(audience)}")
    except (TypeError, ValueError) as error:
        yield Violation(REPLAY, about, f"its events cannot be replayed: {type(error).__name__}")
        return
    if replayed is None:
        return
    if replayed != claim.claim:
        yield Violation(REPLAY, about, "its row is not what its events make of it")
    elif (replayed.insurer, str(replayed.state), replayed.version) != (claim.insurer, claim.state, claim.version):
        yield Violation(REPLAY, about, "its row's insurer, state or version is not what its events make of it")


def wrong_ids(event: ClaimEvent, recorded: RecordedEvent) -> Iterator[str]:
    """Tell which ids of an event are not those that the contract computes from what led to it."""
    company, request_id = recorded.company, recorded.request_id
    if isinstance(event, TemporaryClaimCreated | ClaimRegistered) and event.claim_id != ids.claim_id(
        company, request_id
    ):
        yield "the claim's id is not that of its request"
    if isinstance(event, TemporaryClaimCreated):
        expected = [ids.created_task_id(event.claim_id, n) for n in range(1, len(event.tasks) + 1)]
        if [task.task_id for task in event.tasks] != expected:
            yield "a task's id is not that of its claim and number"
    elif isinstance(event, TaskAssigned) and event.task.task_id != ids.assigned_task_id(company, request_id):
        yield "the task's id is not that of its request"
    elif isinstance(event, TaskReported):
        if event.report.report_id != ids.report_id(company, request_id):
            yield "the report's id is not that of its request"
        files = [ids.media_id(company, request_id, n) for n in range(1, len(event.report.media) + 1)]
        if [media.media_id for media in event.report.media] != files:
            yield "a file's id is not that of its request and number"
    elif isinstance(event, LinkStarted) and event.link_id != ids.link_id(company, request_id):
        yield "the link's id is not that of its request"
    elif isinstance(event, ContentImported):
        for task in event.tasks:
            copies = [(task.task_id, task.source_task_id)]
            for report in task.reports:
                copies.append((report.report_id, report.source_report_id))
                copies += [(media.media_id, media.source_media_id) for media in report.media]
            if any(copy != ids.copy_id(event.link_id, of) for copy, of in copies):
                yield "an imported task, report or file has another id than its link's copy"
                return


def redaction_of(events: Iterable[ClaimEvent]) -> int | None:
    """Return the version with which a claim was redacted, if it was."""
    return next((event.version for event in events if isinstance(event, ClaimRedacted)), None)


def removed_media_of(events: Iterable[ClaimEvent]) -> Iterator[UUID]:
    """Yield the ids under which the store had the files that are gone since the claim was redacted."""
    stored_as: dict[UUID, UUID] = {}
    for event in events:
        if isinstance(event, TaskReported):
            stored_as |= {media.media_id: media.stored_as for media in event.report.media}
        elif isinstance(event, ContentImported | ClaimUnlinked):
            reports = (report for task in event.tasks for report in task.reports)
            stored_as |= {media.media_id: media.stored_as for report in reports for media in report.media}
        elif isinstance(event, ClaimRedacted):
            yield from (stored_as.get(id, id) for id in event.media_ids)


def number_of(event: ClaimEvent) -> str | None:
    """Return the claim number that an event gives to its claim."""
    if isinstance(event, TemporaryClaimCreated | ClaimRegistered | ClaimConverted):
        return event.claim_number
    return None


_LINK_KINDS: dict[type[ClaimEvent], str] = {
    LinkStarted: "started",
    LinkFailed: "failed",
    ClaimLinked: "linked",
    ContentImported: "imported",
    ContentWithdrawn: "withdrawn",
    ClaimUnlinked: "unlinked",
}


def reports_of(event: ClaimEvent) -> Iterator[tuple[UUID, bytes, str | None]]:
    """Yield each report that an event tells of, what stands for its files, and the link that imported it.

    Of an imported one it is the report that it is a copy of; files that were lost on the way count, since it says so.
    """
    if isinstance(event, TaskReported):
        yield event.report.report_id, _files(event.report.media), None
    elif isinstance(event, ContentImported):
        for report in (report for task in event.tasks for report in task.reports):
            yield report.source_report_id, _files([*report.media, *report.lost_media]), str(event.link_id)


def tasks_of(event: ClaimEvent) -> Iterator[tuple[UUID, bytes]]:
    """Yield each task that an event gives to its claim, with what stands for what it is and whose."""
    tasks = event.tasks if isinstance(event, TemporaryClaimCreated) else ()
    for task in [event.task] if isinstance(event, TaskAssigned) else tasks:
        yield task.task_id, _facts(task)


def imported_tasks_of(event: ClaimEvent) -> Iterator[tuple[str, UUID, UUID, bytes]]:
    """Yield the link of each task that was brought, the task that it is a copy of, itself, and what stands for it."""
    if isinstance(event, ContentImported):
        for task in event.tasks:
            yield str(event.link_id), task.source_task_id, task.task_id, _facts(task)


def withdrawn_tasks_of(event: ClaimEvent) -> Iterator[tuple[str, UUID]]:
    """Yield each task that a claim gives up, with the link that had brought it."""
    if isinstance(event, ContentWithdrawn):
        yield from ((str(event.link_id), task) for task in event.task_ids)


def returned_reports_of(event: ClaimEvent) -> Iterator[tuple[str, UUID, bytes]]:
    """Yield each report that a claim gets back of a link, and what stands for its files."""
    if isinstance(event, ClaimUnlinked):
        for report in (report for task in event.tasks for report in task.reports):
            yield str(event.link_id), report.report_id, _files([*report.media, *report.lost_media])


def media_of(event: ClaimEvent) -> Iterator[tuple[ReportedMedia, str | None]]:
    """Yield each file that an event says is in the store, and the link that copied it."""
    if isinstance(event, TaskReported):
        yield from ((media, None) for media in event.report.media)
    elif isinstance(event, ContentImported):
        reports = (report for task in event.tasks for report in task.reports)
        yield from ((media, str(event.link_id)) for report in reports for media in report.media)


def _facts(task: Task) -> bytes:
    return digest("", f"{task.kind} {task.office} {task.company}".encode())


def _files(media: Iterable[ReportedMedia]) -> bytes:
    return digest("", " ".join(sorted(each.sha256 for each in media)).encode())


def link_event(event: ClaimEvent) -> tuple[str, str, int] | None:
    """Return what an event says of a link: which, what became of it, and which part."""
    kind = _LINK_KINDS.get(type(event))
    link = getattr(event, "link_id", None)
    return None if kind is None or link is None else (str(link), kind, getattr(event, "part", 1))


def _shortened(versions: Sequence[int]) -> str:
    shown = ", ".join(map(str, versions[:10]))
    return f"{shown or 'none'}{' …' if len(versions) > 10 else ''}"
