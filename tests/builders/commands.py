"""Requests as claims reads them, checked by permissions, and a desk that decides them one after the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from services.claims.batch import Batch, Decided, declared_needs
from services.claims.claim import Claim
from services.claims.commands import Command, Step, read_command
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Facts, OfficeOfInsurer, Refusal
from shared.contract.envelope import Headers, outgoing
from shared.contract.fields import CreationPermission, LocalizedText
from shared.contract.outcomes import Decision, DecisionRule, RequestAccepted, RequestRefused
from shared.contract.requests import REQUESTS
from shared.contract.topics import CLAIM_COMMANDS, OPERATOR
from shared.messaging.memory import MemoryRecord
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.records import record_of
from tests.builders.requests import BODIES, FJORD

Json = dict[str, Any]

INSURER, OTHER_INSURER = FJORD, "vidde-forsikring"
PLUMBER, SURVEYOR, GLAZIER = "ror-og-varme", "takst-vest", "glass-nord"
PLUMBER_OFFICE, PLUMBER_SECOND_OFFICE = "ror-bergen", "ror-voss"
SURVEYOR_OFFICE, GLAZIER_OFFICE = "takst-bergen", "glass-bodo"
OFFICES = {
    PLUMBER_OFFICE: PLUMBER,
    PLUMBER_SECOND_OFFICE: PLUMBER,
    SURVEYOR_OFFICE: SURVEYOR,
    GLAZIER_OFFICE: GLAZIER,
}

NO_CLAIM = UUID("00000000-0000-5000-8000-000000000000")
NO_TASK = UUID("00000000-0000-5000-8000-000000000001")


def facts(*, zone: str = "Europe/Oslo", needs_budget: bool = False, rights: Iterable[tuple[str, str]] = ()) -> Facts:
    """Make what permissions knows: one time zone for all insurers, the offices, and rights (insurer, office)."""
    return Facts(
        time_zones={INSURER: zone, OTHER_INSURER: zone},
        companies_of_offices=OFFICES,
        insurers_that_need_budget=[INSURER] if needs_budget else [],
        may_assign_to_others=[OfficeOfInsurer(insurer=insurer, office=office) for insurer, office in rights],
    )


FACTS = facts()


def decision(*, inside: bool = False) -> Decision:
    """Make permissions' decision on a creation request."""
    return Decision(
        rule=DecisionRule.ALWAYS_PERMITTED if inside else DecisionRule.AFTER_CLOSING,
        creation_permission=CreationPermission.ALWAYS if inside else CreationPermission.OUTSIDE_OFFICE_HOURS,
        local_time="2026-11-24T17:12:00.000+01:00[Europe/Oslo]",
        inside_office_hours=inside,
        explanation=LocalizedText(nb="Tirsdag", en="Tuesday"),
    )


def message(checked: CheckedRequest, *, trace: Headers = ()) -> MemoryRecord:
    """Make the record of `claim-commands` that permissions writes for a checked request."""
    return record_of(
        outgoing(
            CLAIM_COMMANDS.name,
            checked.claim_id,
            checked,
            id=f"{checked.company}/{checked.request_id}",
            source="permissions",
            cause=checked.request_id,
            trace=trace,
        )
    )


def command(
    name: str,
    body: Mapping[str, Any] | None,
    *,
    company: str,
    request_id: str,
    claim_id: UUID | None = None,
    at: datetime = TUESDAY_EVENING,
    actor: str | None = None,
    facts: Facts = FACTS,
    decided: Decision | None = None,
    refusal: Refusal | None = None,
) -> Command:
    """Make a command by way of the bytes that go over the bus."""
    checked = CheckedRequest(
        company=company,
        request_id=request_id,
        request_type=f"claimbus.{name}.v1",
        requested_at=at,
        actor=actor,
        claim_id=claim_id or ids.claim_id(company, request_id),
        request=None if body is None else REQUESTS[f"claimbus.{name}.v1"].model_validate_json(to_json(body)),
        refusal=refusal,
        decision=decided,
        facts=facts,
    )
    read = read_command(message(checked))
    assert isinstance(read, Command)
    return read


def creation(
    request_id: str = "creation",
    *,
    company: str = PLUMBER,
    claim_id: UUID | None = None,
    at: datetime = TUESDAY_EVENING,
    actor: str | None = None,
    facts: Facts = FACTS,
    inside: bool = False,
    **body: Any,
) -> Command:
    """Make a command that creates a temporary claim; `body` adds to what is mandatory, or replaces it."""
    return command(
        "create-temporary-claim",
        BODIES["create-temporary-claim"] | {"insurer": INSURER, "office": PLUMBER_OFFICE} | body,
        company=company,
        request_id=request_id,
        claim_id=claim_id,
        at=at,
        actor=actor,
        facts=facts,
        decided=decision(inside=inside),
    )


def registration(
    claim_number: str,
    request_id: str = "registration",
    *,
    company: str = INSURER,
    at: datetime = TUESDAY_EVENING,
    facts: Facts = FACTS,
    **body: Any,
) -> Command:
    """Make a command that registers a normal claim."""
    body = BODIES["register-claim"] | {"claim_number": claim_number, "handler": "kari"} | body
    return command("register-claim", body, company=company, request_id=request_id, at=at, facts=facts)


def about(
    claim: Claim | UUID,
    name: str,
    company: str,
    request_id: str,
    *,
    at: datetime = TUESDAY_EVENING,
    actor: str | None = None,
    facts: Facts = FACTS,
    **body: Any,
) -> Command:
    """Make a command about a claim that exists, or is said to."""
    claim_id = claim.id if isinstance(claim, Claim) else claim
    return command(
        name,
        {"claim_id": str(claim_id), **body},
        company=company,
        request_id=request_id,
        claim_id=claim_id,
        at=at,
        actor=actor,
        facts=facts,
    )


def empty_batch(**found: Any) -> Batch:
    """Make a batch whose record has nothing, or what is `found`; no command's needs are loaded yet."""
    nothing: Json = {"claims": {}, "numbers": {}, "histories": {}, "steps": set(), "refused_creations": set()}
    return Batch(needs={}, **(nothing | found))


def decide_in_order(batch: Batch, *commands: Command | Step) -> None:
    """Decide commands, for which there is nothing in the record but what the batch has already."""
    batch.needs = declared_needs(commands) | batch.needs
    batch.decide_in_order(commands)


@dataclass
class Desk:
    """Decides one request after the other, each on what the ones before it have left."""

    batch: Batch = field(default_factory=empty_batch)

    def decide(self, command: Command | Step) -> Decided:
        """Decide a command."""
        self.batch.histories.setdefault(command.claim_id, [])
        decide_in_order(self.batch, command)
        return self.batch.decided[command.key]

    def create(self, request_id: str = "creation", **how: Any) -> Claim:
        """Create a temporary claim; see `creation`."""
        return self._new(creation(request_id, **how))

    def register(self, claim_number: str, request_id: str = "registration", **how: Any) -> Claim:
        """Register a normal claim; see `registration`."""
        return self._new(registration(claim_number, request_id, **how))

    def ask(self, claim: Claim | UUID, name: str, company: str, **how: Any) -> Decided:
        """Decide a request about a claim, with an id of its own; see `about`."""
        return self.decide(about(claim, name, company, f"request-{len(self.batch.decided)}", **how))

    def now(self, claim: Claim) -> Claim:
        """A claim as it is now."""
        return self.batch.claims[claim.id]

    def _new(self, command: Command) -> Claim:
        assert accepted(self.decide(command))
        return self.batch.claims[command.checked.claim_id]


def accepted(decided: Decided) -> RequestAccepted:
    """The outcome of a request that took effect."""
    assert isinstance(decided.outcome, RequestAccepted), decided.outcome
    return decided.outcome


def refused(decided: Decided) -> RequestRefused:
    """The outcome of a request that was refused: nothing of it took effect."""
    assert isinstance(decided.outcome, RequestRefused), decided.outcome
    assert decided.events == ()
    assert decided.number_taken is None
    assert decided.republish_for is None
    return decided.outcome


def code_of(decided: Decided) -> Code:
    """The code of a refusal."""
    return refused(decided).code


VALID_REQUESTS: dict[str, tuple[str, Json]] = {
    "assign-task": (INSURER, {"kind": "first_aid", "office": SURVEYOR_OFFICE}),
    "report-task": (PLUMBER, {"text": "Pumpet"}),
    "approve-budget": (INSURER, {"amount": "12000.50", "currency": "NOK"}),
    "convert-to-normal": (INSURER, {"claim_number": "SK-1", "handler": "kari"}),
    "amend-claim": (INSURER, {"policy_number": "P-1"}),
    "cancel-claim": (INSURER, {"reason": "Feil"}),
    "republish-claim": (OPERATOR, {"reader": "portal"}),
}
"""For each request about a claim: who may send it, and a body without the claim and task."""


def valid_body(name: str, claim: Claim) -> Json:
    """A body that is accepted for a temporary claim whose first task is the plumber's."""
    _, body = VALID_REQUESTS[name]
    if name in ("report-task", "approve-budget"):
        return {"task_id": str(claim.tasks[0].task_id), **body}
    return dict(body)
