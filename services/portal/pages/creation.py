"""*+ Ny midlertidig sak*: there for offices that may create right now (domain rules 1–3, 7, 8 and 11)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.forms import read, typed
from services.portal.pages.form_pages import send, show
from services.portal.rendering import render
from services.portal.session import show_on_next_page
from services.portal.typed import BUTTON
from services.portal.viewer import Viewer, insurers_not_understood, insurers_open_to
from services.portal.visit import Visit
from services.portal.words import marked
from shared.contract.fields import CompanyKind
from shared.contract.requests import CreateTemporaryClaim
from shared.contract.texts import alphabetical, by_name
from shared.domain.clock import zone_to_show
from shared.domain.companies import Company, Office
from shared.domain.creation import rights_in_force
from shared.domain.directory import Directory

_MOST_TASKS = 20
_ONE_MORE, _ONE_LESS = "one-more", "remove-"


async def form(visit: Visit) -> Response:
    """Show the form, or first the choice of the insurer where there are several."""
    insurers = _insurers(visit)
    if not insurers:
        text = visit.translated(marked("Kontoret kan ikke opprette midlertidige saker nå."))
        viewer, directory = visit.viewer, visit.portal.directory
        for company, why in insurers_not_understood(viewer, directory, datetime.now(UTC)):
            text += f" {company.name}: {getattr(why, visit.language)}."
        show_on_next_page(visit, text, "info")
        return RedirectResponse("/", 303)
    insurer = _chosen(insurers, visit.request.query_params.get("forsikringsselskap"))
    if insurer is None:
        return render(visit, "creation_insurer.html", insurers=insurers)
    return show(visit, "creation.html", _first_values(visit, insurer), **_about(visit, insurer, 1))


async def create(visit: Visit) -> Response:
    """Create the claim (*Legg til*), or give the form back with one line for a task more or less."""
    values = typed((await visit.request.form()).multi_items())
    insurer = visit.portal.directory.insurer(values.get("insurer", ""), datetime.now(UTC))
    if insurer is None:
        raise HTTPException(404)
    lines, button = _task_lines(values), values.get(BUTTON, "")
    if button == _ONE_MORE:
        about = _about(visit, insurer, min(len(lines) + 1, _MOST_TASKS), focus=len(lines))
        return show(visit, "creation.html", values, **about)
    if button.startswith(_ONE_LESS):
        removed = button.removeprefix(_ONE_LESS)
        left = [line for line in lines if line != removed]
        focus = lines.index(removed) if removed in lines else 0
        return show(visit, "creation.html", _with_lines(values, left), **_about(visit, insurer, len(left), focus))
    return await send(
        visit,
        "creation.html",
        lambda typed: read(
            CreateTemporaryClaim,
            _without_empty_tasks(typed),
            visit.country_of(insurer.id),
            office=visit.viewer.user.office,
        ),
        done=marked("Den midlertidige saken er opprettet."),
        to=lambda claim: f"/saker/{claim}",
        **_about(visit, insurer, len(lines)),
    )


def _insurers(visit: Visit) -> list[Company]:
    return insurers_open_to(visit.viewer, visit.portal.directory, datetime.now(UTC))


def _chosen(insurers: list[Company], id: str | None) -> Company | None:
    if len(insurers) == 1:
        return insurers[0]
    return next((insurer for insurer in insurers if insurer.id == id), None)


def _first_values(visit: Visit, insurer: Company) -> dict[str, str]:
    """Today is the insurer's, which decides whether a date is in the future."""
    zone, _ = zone_to_show(visit.portal.directory.settings(insurer.id, datetime.now(UTC)).time_zone)
    return {"incident.date": datetime.now(zone).date().isoformat()}


def _task_lines(values: Mapping[str, str]) -> list[str]:
    """The numbers of the lines for tasks, in the form's order."""
    return list(dict.fromkeys(name.split(".")[1] for name in values if name.startswith("tasks.")))


def _with_lines(values: Mapping[str, str], lines: list[str]) -> dict[str, str]:
    """Leave these lines for tasks, numbered without gaps."""
    others = {name: value for name, value in values.items() if not name.startswith("tasks.")}
    parts = ("kind", "office")
    tasks = {
        f"tasks.{n}.{part}": values.get(f"tasks.{line}.{part}", "") for n, line in enumerate(lines) for part in parts
    }
    return others | tasks


def _without_empty_tasks(values: Mapping[str, str]) -> dict[str, str]:
    """A task without a kind is none."""
    kinds = {name.split(".")[1] for name, value in values.items() if name.endswith(".kind") and value}
    return {n: v for n, v in values.items() if not n.startswith("tasks.") or n.split(".")[1] in kinds}


def _about(visit: Visit, insurer: Company, tasks: int, focus: int | None = None) -> dict[str, Any]:
    """What the form needs besides its values; `focus` is the line to go on with, after the last the button."""
    viewer, directory, at = visit.viewer, visit.portal.directory, datetime.now(UTC)
    rights = rights_in_force(directory, insurer.id, viewer.user.office or "", at)
    return {
        "insurer": insurer,
        "several_insurers": len(_insurers(visit)) > 1,
        "may_define_claim_number": rights.may_define_claim_number,
        "may_assign_to_others": rights.may_assign_to_others,
        "offices": offices_to_assign(viewer, directory, others=rights.may_assign_to_others),
        "tasks": tasks,
        "focus": focus,
    }


def offices_to_assign(viewer: Viewer, directory: Directory, *, others: bool) -> list[tuple[Company, list[Office]]]:
    """The offices that a task can be given to: the own ones, with the right all partners' (domain rule 7)."""
    at = datetime.now(UTC)
    partners = [company for company in directory.companies(at) if company.kind is CompanyKind.PARTNER]
    wanted = [company for company in partners if others or company.id == viewer.company.id]
    wanted.sort(key=lambda company: (company.id != viewer.company.id, alphabetical(company.name)))
    return [(company, by_name(offices)) for company in wanted if (offices := directory.offices_of(company.id, at))]
