"""The steps of a link (contract: Linking), each remembered under `claimbus` and `<link id>/<part>/<name>`."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.contract.events import ImportedTask, Report, Task
from shared.contract.fields import Actor, Moment, NamedMessage


class LinkStep(NamedMessage):
    """What every step says: which link, and which part of it (1, 2 …)."""

    link_id: UUID
    part: Annotated[int, Field(ge=1)]


class LinkedReport(Report):
    """A report of the temporary claim, with who made it and when."""

    at: Moment
    actor: Actor


class LinkedTask(Task):
    """A task of the temporary claim with the reports of this part."""

    reports: list[LinkedReport] = []


class LinkRequested(LinkStep):
    """Copy these tasks, reports and media into the target."""

    NAME = "link-requested"

    source_claim_id: UUID
    target_claim_id: UUID
    tasks: list[LinkedTask]


class ImportContent(LinkStep):
    """The copies are made and verified: take them in."""

    NAME = "import-content"

    source_claim_id: UUID
    target_claim_id: UUID
    tasks: list[ImportedTask]


class GiveUpImport(LinkStep):
    """The copies could not be made."""

    NAME = "give-up-import"

    reason: str


class FinishLink(LinkStep):
    """The target has taken this part in: cancel the source."""

    NAME = "finish-link"

    target_claim_id: UUID


class AbandonLink(LinkStep):
    """The target will not take this part in: the source is temporary again."""

    NAME = "abandon-link"

    reason: str


LINK_STEPS: dict[str, type[LinkStep]] = {
    step.type(): step for step in (LinkRequested, ImportContent, GiveUpImport, FinishLink, AbandonLink)
}
"""Every step by its CloudEvents type."""
