"""What is done with a claim: *Normal*, correcting, cancelling, tasks, budgets, reports."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.portal.claim_view import ClaimView, TaskView
from services.portal.editing import SHOWN, changed, pack
from services.portal.forms import WrongForm, read, read_over
from services.portal.pages.claim import claim_of, may, reportable
from services.portal.pages.creation import offices_to_assign
from services.portal.pages.form_pages import send, show
from services.portal.phones import NORWAY
from services.portal.sentences import of_uploads
from services.portal.visit import Visit
from services.portal.words import marked
from shared.contract.events import ClaimAmended, ClaimEvent
from shared.contract.requests import AmendClaim, ApproveBudget, AssignTask, CancelClaim, ConvertToNormal, ReportTask
from shared.contract.texts import by_name
from shared.domain.companies import User
from shared.domain.creation import rights_in_force
from shared.storage.media_store import MAX_MEDIA_BYTES

_STAYS = marked("Feltet kan rettes, men ikke tømmes.")
"""The contract takes an empty field for one that was left out."""


def _to(claim: ClaimView) -> str:
    return f"/saker/{claim.id}"


async def normal(visit: Visit) -> Response:
    """*Normal*: a claim number and a claims handler (domain rule 14)."""
    claim = await claim_of(visit)
    offered = may(visit.viewer, claim).handle
    about: dict[str, Any] = {"claim": claim, "handlers": [(user.id, user.name) for user in _colleagues(visit)]}
    if visit.request.method == "GET":
        _offered(offered)
        return show(visit, "normal.html", {"handler": visit.viewer.user.id}, **about)
    return await send(
        visit,
        "normal.html",
        lambda typed: read(ConvertToNormal, typed, claim_id=claim.id),
        done=marked("Saken er nå en normal sak."),
        to=lambda _: _to(claim),
        **about,
    )


async def amend(visit: Visit) -> Response:
    """Correct what was written (domain rule 14); only what was changed is sent."""
    claim = await claim_of(visit)
    offered = may(visit.viewer, claim).amend
    if visit.request.method == "GET":
        _offered(offered)
        before = written(claim)
        return show(visit, "amend.html", before | {SHOWN: pack(before)}, claim=claim)
    return await send(
        visit,
        "amend.html",
        lambda typed: correction(claim, typed, visit.country_of(claim.insurer)),
        done=marked("Rettelsen er lagret."),
        to=lambda _: _to(claim),
        changed_by=lambda: _last_correction(visit, claim),
        claim=claim,
    )


def correction(claim: ClaimView, typed: Mapping[str, str], region: str = NORWAY) -> AmendClaim:
    """Make the request of what the person changed; what else is in its parts is as the claim has it now.

    `region` is the country of a phone number that does not say its own. Raises Unchanged, ChangedMeanwhile or
    WrongForm.
    """
    mine = changed(typed, written(claim))
    emptied = {name: _STAYS for name, value in mine.items() if not value and "." not in name}
    if emptied:
        raise WrongForm(emptied)
    parts = {name.split(".")[0] for name in mine}
    present = claim.model_dump(mode="json", include=parts, exclude_none=True)
    return read_over(AmendClaim, present, mine, region, claim_id=claim.id)


async def _last_correction(visit: Visit, claim: ClaimView) -> ClaimEvent | None:
    events = await visit.portal.store.history(visit.viewer.company.id, claim.id)
    return next((event for event in reversed(events) if isinstance(event, ClaimAmended)), None)


async def cancel(visit: Visit) -> Response:
    """Take a claim out, with a reason (domain rule 14)."""
    claim = await claim_of(visit)
    offered = may(visit.viewer, claim).cancel
    if visit.request.method == "GET":
        _offered(offered)
        return show(visit, "cancel.html", claim=claim)
    return await send(
        visit,
        "cancel.html",
        lambda typed: read(CancelClaim, typed, claim_id=claim.id),
        done=marked("Saken er avbrutt."),
        to=lambda _: _to(claim),
        claim=claim,
    )


async def assign(visit: Visit) -> Response:
    """Give an office a task (domain rules 7 and 11)."""
    claim, viewer, directory = await claim_of(visit), visit.viewer, visit.portal.directory
    offered = may(viewer, claim).assign
    others = viewer.is_insurer or _may_assign_to_others(visit, claim)
    about: dict[str, Any] = {"claim": claim, "offices": offices_to_assign(viewer, directory, others=others)}
    if visit.request.method == "GET":
        _offered(offered)
        return show(visit, "assign.html", **about)
    return await send(
        visit,
        "assign.html",
        lambda typed: read(AssignTask, typed, claim_id=claim.id),
        done=marked("Oppgaven er tildelt."),
        to=lambda _: _to(claim),
        **about,
    )


async def budget(visit: Visit) -> Response:
    """Approve a task's budget (domain rule 11)."""
    claim = await claim_of(visit)
    task = _task(visit, claim)
    offered = may(visit.viewer, claim).approve_budget and task.waits_for_budget
    if visit.request.method == "GET":
        _offered(offered)
        return show(visit, "budget.html", {"currency": "NOK"}, claim=claim, task=task)
    return await send(
        visit,
        "budget.html",
        lambda typed: read(ApproveBudget, typed, claim_id=claim.id, task_id=task.task_id),
        done=marked("Budsjettet er godkjent."),
        to=lambda _: _to(claim),
        claim=claim,
        task=task,
    )


async def report(visit: Visit) -> Response:
    """Report on a task: text, and whether it is finished (domain rule 11)."""
    claim = await claim_of(visit)
    task = _task(visit, claim)
    offered = reportable(visit.viewer, claim, task)
    about: dict[str, Any] = {
        "claim": claim,
        "task": task,
        "why_not": of_uploads(visit.language),
        "largest": MAX_MEDIA_BYTES,
    }
    if visit.request.method == "GET":
        _offered(offered)
        return show(visit, "report.html", **about)
    return await send(
        visit,
        "report.html",
        lambda typed: _report(typed, claim, task),
        done=marked("Rapporten er sendt."),
        to=lambda _: _to(claim),
        **about,
    )


def _report(typed: Mapping[str, str], claim: ClaimView, task: TaskView) -> ReportTask:
    finished = bool(typed.get("finished"))
    if not typed.get("text") and not finished and not any(name.startswith("media.") for name in typed):
        raise WrongForm({"text": marked("Skriv noe, legg ved en fil, eller meld oppgaven ferdig.")})
    return read(
        ReportTask,
        {n: v for n, v in typed.items() if n != "finished"},
        claim_id=claim.id,
        task_id=task.task_id,
        finished=finished,
    )


def _offered(yes: bool) -> None:
    """What is not offered is not found. A form that was open meanwhile is sent, and refused with a reason."""
    if not yes:
        raise HTTPException(404)


def _task(visit: Visit, claim: ClaimView) -> TaskView:
    found = next((task for task in claim.tasks if task.task_id == visit.request.path_params["task"]), None)
    if found is None:
        raise HTTPException(404)
    return found


def _colleagues(visit: Visit) -> list[User]:
    company = visit.viewer.company.id
    return by_name(user for user in visit.portal.directory.users(datetime.now(UTC)) if user.company == company)


def _may_assign_to_others(visit: Visit, claim: ClaimView) -> bool:
    viewer, directory, at = visit.viewer, visit.portal.directory, datetime.now(UTC)
    return any(
        rights_in_force(directory, claim.insurer, office.id, at).may_assign_to_others
        for office in directory.offices_of(viewer.company.id, at)
    )


def written(claim: ClaimView) -> dict[str, str]:
    """What the form for corrections shows of a claim, by field."""
    incident, address, who = claim.incident, claim.incident.address, claim.policyholder
    return {
        "incident.date": incident.date.isoformat(),
        "incident.cause": incident.cause,
        "incident.description": incident.description or "",
        "incident.address.street": address.street,
        "incident.address.postal_code": address.postal_code,
        "incident.address.city": address.city,
        "policyholder.name": who.name,
        "policyholder.phone": who.phone,
        "policyholder.email": who.email or "",
        "policy_number": claim.policy_number or "",
        "partner_reference": claim.partner_reference or "",
    }
