"""What a link copies, and under which ids (domain rules 15 and 17). No I/O, no clock."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from shared.contract import ids
from shared.contract.events import (
    ContentWithdrawn,
    ImportedMedia,
    ImportedReport,
    ImportedTask,
    LinkFailed,
    ReportedMedia,
    Task,
)
from shared.contract.linking import GiveUpImport, ImportContent, LinkedReport, LinkFailure, LinkRequested


@dataclass(frozen=True, slots=True)
class Copy:
    """A file to copy within the store: where it is, where its copy will be, and what both must be."""

    media_id: UUID
    """The file's, on the temporary claim."""
    source: UUID
    target: UUID
    sha256: str
    size: int
    """Bytes."""


def copies(request: LinkRequested) -> Iterator[Copy]:
    """Every file of a part; a copy has the same id however often it is made."""
    for task in request.tasks:
        for report in task.reports:
            for media in report.media:
                target = ids.copy_id(request.link_id, media.media_id)
                yield Copy(media.media_id, media.stored_as, target, media.sha256, media.size)


def import_of(request: LinkRequested, lost: Collection[UUID] = ()) -> ImportContent:
    """What the target imports: everything with a new id, and where it came from.

    `lost` are files of a part after the first that could not be copied: their reports go without them.
    """
    return ImportContent(
        link_id=request.link_id,
        part=request.part,
        actor=request.actor,
        source_claim_id=request.source_claim_id,
        source_claim_number=request.source_claim_number,
        source_audience=request.source_audience,
        target_claim_id=request.target_claim_id,
        tasks=[
            ImportedTask(
                **{name: getattr(task, name) for name in Task.model_fields}
                | {"task_id": ids.copy_id(request.link_id, task.task_id)},
                source_task_id=task.task_id,
                reports=[_copy_of(request.link_id, report, lost) for report in task.reports],
            )
            for task in request.tasks
        ],
    )


def give_up(request: LinkRequested, reason: LinkFailure) -> GiveUpImport:
    """The target that the copies could not be made (domain rule 16)."""
    return GiveUpImport(
        link_id=request.link_id,
        part=request.part,
        actor=request.actor,
        source_claim_id=request.source_claim_id,
        reason=reason,
    )


def copies_without_a_claim(event: LinkFailed | ContentWithdrawn) -> list[UUID]:
    """The copies to which nothing refers any more: of a link that failed, or was taken back."""
    return event.media_ids


def _copy_of(link: UUID, report: LinkedReport, lost: Collection[UUID]) -> ImportedReport:
    return ImportedReport(
        report_id=ids.copy_id(link, report.report_id),
        source_report_id=report.report_id,
        text=report.text,
        media=[_copy_of_file(link, media) for media in report.media if media.media_id not in lost],
        lost_media=[ReportedMedia.model_validate(dict(media)) for media in report.media if media.media_id in lost],
        finished=report.finished,
        at=report.at,
        actor=report.actor,
    )


def _copy_of_file(link: UUID, media: ReportedMedia) -> ImportedMedia:
    return ImportedMedia(
        media_id=ids.copy_id(link, media.media_id),
        name=media.name,
        content_type=media.content_type,
        size=media.size,
        sha256=media.sha256,
        source_media_id=media.media_id,
    )
