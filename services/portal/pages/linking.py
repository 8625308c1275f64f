"""*Tilknytning*: finding the claim that a temporary one belongs to, linking it, and taking that back (rules 15–17)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.portal.claim_view import ClaimView, State
from services.portal.forms import read
from services.portal.listing import Filter
from services.portal.pages.claim import claim_of, may, unlinkable
from services.portal.pages.form_pages import send, show
from services.portal.rendering import render
from services.portal.visit import Visit
from services.portal.words import marked
from shared.contract.requests import LinkClaim, UnlinkClaim

_MOST_FOUND = 20
_LONGEST_TEXT = 100


@dataclass(frozen=True)
class Copied:
    """What a link copies."""

    tasks: int
    reports: int
    files: int


async def search(visit: Visit) -> Response:
    """Find the other claim among the insurer's normal ones; beginning with what looks alike."""
    viewer, claim = visit.viewer, await claim_of(visit)
    if not may(viewer, claim).handle:
        raise HTTPException(404)
    text = visit.request.query_params.get("tekst", "")[:_LONGEST_TEXT].strip()
    suggested = await visit.portal.store.suggestions(viewer.company.id, claim.id)
    known = await visit.portal.store.short(viewer.company.id, *(each.claim_id for each in suggested))
    found = await visit.portal.store.page(viewer.company.id, Filter(state=State.NORMAL, text=text), viewer.zone)
    return render(
        visit,
        "link_search.html",
        claim=claim,
        text=text,
        suggested=[(each, known[each.claim_id]) for each in suggested if each.claim_id in known],
        rows=found.rows[:_MOST_FOUND],
        more=len(found.rows) > _MOST_FOUND,
    )


async def link(visit: Visit) -> Response:
    """Show what will be copied, and link when that is confirmed."""
    viewer, claim = visit.viewer, await claim_of(visit)
    target_id: UUID = visit.request.path_params["target"]
    target = await visit.portal.store.claim(viewer.company.id, target_id)
    if target is None:
        raise HTTPException(404)
    about: dict[str, Any] = {"claim": claim, "target": target, "copied": copied(claim)}
    if visit.request.method == "GET":
        if not may(viewer, claim).handle:
            raise HTTPException(404)
        return show(visit, "link.html", None, **about)
    return await send(
        visit,
        "link.html",
        lambda typed: read(LinkClaim, typed, claim_id=claim.id, target_claim_id=target_id),
        done=marked("Tilknytningen er startet."),
        to=lambda _: f"/saker/{claim.id}",
        **about,
    )


async def unlink(visit: Visit) -> Response:
    """Take a link back: the claim is temporary again, and the other gives up what it had imported."""
    claim = await claim_of(visit)
    if visit.request.method == "GET":
        if not unlinkable(visit, claim):
            raise HTTPException(404)
        return show(visit, "unlink.html", None, claim=claim)
    return await send(
        visit,
        "unlink.html",
        lambda typed: read(UnlinkClaim, typed, claim_id=claim.id),
        done=marked("Opphevingen er startet."),
        to=lambda _: f"/saker/{claim.id}",
        claim=claim,
    )


def copied(claim: ClaimView) -> Copied:
    """Count what a link of the claim copies (domain rule 15)."""
    reports = [report for task in claim.tasks for report in task.reports]
    return Copied(len(claim.tasks), len(reports), sum(len(report.media) for report in reports))
