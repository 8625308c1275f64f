"""Every address of the pages."""

from starlette.routing import BaseRoute, Route

from services.portal.guards import Address, Page
from services.portal.pages import (
    administration,
    claim,
    claims,
    creation,
    dashboard,
    handling,
    kept,
    linking,
    live,
    log_in,
    media,
    reports,
)
from services.portal.settings import WebSettings
from services.portal.visit import Portal


def addresses(settings: WebSettings) -> list[Address]:
    """All of them: those of the log-in, and those of people who are logged in."""
    return [*log_in.addresses(settings), *_OF_VIEWERS]


def routes(portal: Portal) -> list[BaseRoute]:
    """Make their routes."""
    return [
        Route(each.path, each.guard(portal, each.page), methods=each.methods) for each in addresses(portal.settings)
    ]


def _shown(path: str, page: Page) -> Address:
    return Address(path, page, ("GET",))


def _sent(path: str, page: Page) -> Address:
    return Address(path, page, ("POST",))


def _both(path: str, page: Page) -> Address:
    return Address(path, page, ("GET", "POST"))


_OF_VIEWERS = [
    _shown("/", dashboard.dashboard),
    _shown("/saker", claims.claims),
    _shown("/saker/ny", creation.form),
    _sent("/saker/ny", creation.create),
    _shown("/saker/{claim:uuid}", claim.page),
    _both("/saker/{claim:uuid}/normal", handling.normal),
    _both("/saker/{claim:uuid}/rett", handling.amend),
    _both("/saker/{claim:uuid}/avbryt", handling.cancel),
    _both("/saker/{claim:uuid}/oppgaver/ny", handling.assign),
    _both("/saker/{claim:uuid}/oppgaver/{task:uuid}/budsjett", handling.budget),
    _both("/saker/{claim:uuid}/oppgaver/{task:uuid}/rapport", handling.report),
    _shown("/saker/{claim:uuid}/tilknytning", linking.search),
    _both("/saker/{claim:uuid}/tilknytning/{target:uuid}", linking.link),
    _both("/saker/{claim:uuid}/opphev", linking.unlink),
    _shown("/admin", administration.home),
    _shown("/admin/kontorer", administration.offices),
    _both("/admin/kontorer/{office}", administration.office),
    _shown("/admin/selskap", administration.company),
    _sent("/admin/selskap/kontortid", administration.office_hours),
    _sent("/admin/selskap/helligdager", administration.public_holidays),
    _sent("/admin/selskap/dager", administration.days),
    _sent("/admin/selskap/funksjoner", administration.functions),
    *(
        _shown(f"/admin/selskap/{form}", administration.to_company)
        for form in ("kontortid", "helligdager", "dager", "funksjoner")
    ),
    _shown("/admin/rapporter", reports.reports),
    _shown("/admin/rapporter/{period}", reports.report),
    _shown("/admin/rapporter/{period}/regneark", reports.as_spreadsheet),
    _shown("/admin/rapporter/{period}/csv", reports.as_csv),
    _shown("/media/{media:uuid}", media.file),
    _shown("/media/{media:uuid}/miniatyr", media.thumbnail),
    _sent("/opplasting", media.start_upload),
    _sent("/opplasting/{id:uuid}/ferdig", media.complete_upload),
    _shown("/skjema/{id}", kept.form),
    _shown("/direkte", live.stream),
    _shown("/del/ny-sak", live.creation_link),
    _shown("/del/foresporsel/{request_id}", live.pending),
]
