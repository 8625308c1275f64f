"""The steps of a link, each remembered under `claimbus` and `<link id>/<part>/<name>`."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.contract.events import ImportedTask, Report, ReportedMedia, Task
from shared.contract.fields import Actor, LocalizedText, Moment, NamedMessage, Personal, Slug

REMEMBERED_UNDER = "claimbus"
"""The company under which claims remembers the steps."""


class LinkFailure(StrEnum):
    """Why a link could not finish (domain rule 16)."""

    TARGET_NOT_LINKABLE = "target_not_linkable"
    STORE_AWAY = "store_away"
    MEDIA_GONE = "media_gone"
    MEDIA_DIFFERS = "media_differs"
    SERVICE_FAILS = "service_fails"

    @property
    def message(self) -> LocalizedText:
        """The sentence for a person."""
        return _SENTENCES[self]


_SENTENCES = {
    LinkFailure.TARGET_NOT_LINKABLE: LocalizedText(
        nb="Saken det skulle tilknyttes til, kan ikke lenger ta imot innholdet.",
        en="The claim to link to can no longer take the content.",
    ),
    LinkFailure.STORE_AWAY: LocalizedText(
        nb="Filene kunne ikke kopieres i tide, fordi fillageret ikke svarte.",
        en="The files could not be copied in time, because the object store did not answer.",
    ),
    LinkFailure.MEDIA_GONE: LocalizedText(
        nb="En av filene finnes ikke lenger i fillageret.",
        en="One of the files is no longer in the object store.",
    ),
    LinkFailure.MEDIA_DIFFERS: LocalizedText(
        nb="En av filene er en annen enn den som ble lastet opp.",
        en="One of the files is not the one that was uploaded.",
    ),
    LinkFailure.SERVICE_FAILS: LocalizedText(
        nb="Innholdet kunne ikke kopieres på grunn av en feil i tjenesten.",
        en="The content could not be copied because of a fault of the service.",
    ),
}


class LinkStep(NamedMessage):
    """What every step says: which link, and which part of it (1, 2 …)."""

    link_id: UUID
    part: Annotated[int, Field(ge=1)]
    actor: Actor | None = None
    """Who asked for it, or of a later part who reported; carried from step to step."""

    @property
    def id(self) -> str:
        """The id under which the step is remembered; its message has the same."""
        return step_id(self.link_id, self.part, type(self))


def step_id(link_id: UUID, part: int, step: type[LinkStep]) -> str:
    """The id of a step."""
    return f"{link_id}/{part}/{step.NAME}"


class LinkedReport(Report):
    """A report of the temporary claim, with who made it and when."""

    media: Annotated[list[ReportedMedia], Personal([])] = []
    at: Moment
    actor: Actor


class LinkedTask(Task):
    """A task of the temporary claim with the reports of this part."""

    reports: list[LinkedReport] = []


class LinkRequested(LinkStep):
    """Copy these tasks, reports and media into the target."""

    NAME = "link-requested"

    source_claim_id: UUID
    source_claim_number: str | None = None
    source_audience: list[Slug] = []
    """The companies that may see the source; the others at the target do not learn of it (domain rule 10)."""
    target_claim_id: UUID
    tasks: list[LinkedTask]


class ImportContent(LinkStep):
    """The copies are made and verified: take them in."""

    NAME = "import-content"

    source_claim_id: UUID
    source_claim_number: str | None = None
    source_audience: list[Slug] = []
    target_claim_id: UUID
    tasks: list[ImportedTask]


class GiveUpImport(LinkStep):
    """The copies could not be made."""

    NAME = "give-up-import"

    source_claim_id: UUID
    reason: str
    """A LinkFailure."""


class FinishLink(LinkStep):
    """The target has taken this part in: cancel the source."""

    NAME = "finish-link"

    target_claim_id: UUID
    target_claim_number: str | None = None


class AbandonLink(LinkStep):
    """The target will not take this part in: the source is temporary again."""

    NAME = "abandon-link"

    reason: str
    """A LinkFailure."""


class WithdrawContent(LinkStep):
    """The insurer takes the link back: the target gives its content up. Its part is always 1."""

    NAME = "withdraw-content"

    source_claim_id: UUID
    source_audience: list[Slug] = []


class FinishUnlink(LinkStep):
    """The target has given the content up: the source is temporary again, with what was reported at the target."""

    NAME = "finish-unlink"

    target_claim_id: UUID
    tasks: list[ImportedTask]
    """As in `claim-unlinked`."""


STEPS_FOR_CLAIMS: dict[str, type[LinkStep]] = {
    step.type(): step for step in (ImportContent, GiveUpImport, FinishLink, AbandonLink, WithdrawContent, FinishUnlink)
}
"""Every step that claims takes, by its CloudEvents type."""
