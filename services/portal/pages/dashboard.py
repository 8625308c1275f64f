"""Instrumentbord: what waits for the user (domain rule 12)."""

from starlette.responses import Response

from services.portal.claim_view import State
from services.portal.listing import Filter
from services.portal.rendering import render
from services.portal.visit import Visit


async def dashboard(visit: Visit) -> Response:
    """Show what waits: temporary claims and budgets for an insurer, tasks for a partner."""
    viewer, store = visit.viewer, visit.portal.store
    company = viewer.company.id
    temporary = None if viewer.is_insurer else Filter(state=State.TEMPORARY)
    newest = await store.page(company, Filter(), viewer.zone)
    return render(
        visit,
        "dashboard.html",
        waiting=await store.waiting(company) if viewer.is_insurer else 0,
        temporary=temporary and await store.page(company, temporary, viewer.zone),
        budgets=await store.tasks_without_budget(company) if viewer.is_insurer else None,
        tasks=await store.tasks_of(company),
        newest=newest.rows[:5],
        budget_address=lambda task: f"/oppgaver/{task.task_id}/budsjett",
        report_address=lambda task: f"/oppgaver/{task.task_id}/rapport",
    )
