"""A picture of each page, of a small invented world: `make screenshots`."""

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from playwright.sync_api import FilePayload, Page, expect, sync_playwright

import operations.demo
from operations.apply import apply_directory
from operations.bus import Company, NewRequest
from operations.connection import Connection
from operations.directory_file import DirectoryFile, read_directory_file
from operations.stack import Stack, running
from shared.contract.envelope import outgoing
from shared.contract.fields import Cause
from shared.contract.reports import Created, Durations, Figures, PeriodReport, RefusedRequests, ReportReady, Tasks
from shared.contract.topics import REPORTS
from tests.browser import chromium
from tests.browser.test_creating import fill
from tests.browser.test_for_everyone import AT_REST
from tests.browser.test_linking import picture
from tests.builders.directory_file import insurer, permission

INSURER, PARTNER = "fjord-forsikring", "vest-skadeservice"
HANDLER, PLUMBER = "kari-holm", "ola-vik"
_LOADED = "Promise.all(Array.from(document.images, i => { i.loading = 'eager'; return i.decode(); }))"
ANOTHER_INSURER = DirectoryFile.model_validate(
    {"companies": [insurer("nordlys-forsikring", "Nordlys Forsikring", permissions=[permission("vest-bergen")])]}
)
"""So that the partner chooses between two."""
PEOPLE = [
    ("Anne Berg", "+4791234567", "Strandgaten 12", "5013", "Bergen", "water"),
    ("Jonas Haugland", "+4741234567", "Nygårdsgaten 4B", "5015", "Bergen", "storm"),
    ("Ingrid Solheim", "+4795551234", "Vangsgata 20", "5700", "Voss", "fire"),
    ("Per Fjeld", "+4793330000", "Kong Oscars gate 51", "5017", "Bergen", "glass"),
    ("Berit Moen", "+4799990000", "Sandviksveien 3", "5036", "Bergen", "flood"),
]


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="claimbus-screenshots-"))
    data.chmod(0o711)
    os.environ["CLAIMBUS_METADATA_MAX_AGE_MS"] = "300"
    found = chromium.find()
    try:
        with running(data) as stack:
            demo = Path(operations.demo.__file__).with_name("directory.yaml")
            companies = [*read_directory_file(demo).companies, *ANOTHER_INSURER.companies]
            apply_directory(stack.connection, DirectoryFile(companies=companies), None)
            claims = _fill(stack.connection)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=found, args=["--no-sandbox"] if os.getuid() == 0 else []
                )
                size = {"width": 1280, "height": 800}
                address = stack.connection.portal
                pages = {
                    user: browser.new_page(base_url=address, locale="nb-NO", viewport=size)  # type: ignore[arg-type]
                    for user in (HANDLER, PLUMBER, "phone")
                }
                pages["phone"].set_viewport_size({"width": 390, "height": 844})
                _take(folder, pages, claims)
                _take_during_outages(folder, stack, pages, claims["temporary"])
                browser.close()
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _take(folder: Path, pages: dict[str, Page], claims: dict[str, str]) -> None:
    def take(name: str, user: str, path: str, dialog: str | None = None) -> None:
        """Take a page, or the dialog that a link of it opens, which is before the part of the page that is seen."""
        page = pages[user]
        page.goto(path)
        if dialog is not None:
            page.locator(dialog).click()
            expect(page.get_by_role("dialog")).to_be_visible()
        page.evaluate(_LOADED)
        page.evaluate(AT_REST)
        page.screenshot(path=folder / f"{name}.png", full_page=dialog is None)

    pages[HANDLER].goto("/logg-inn")
    pages[HANDLER].screenshot(path=folder / "logg-inn.png", full_page=True)
    for user, name in ((HANDLER, HANDLER), (PLUMBER, PLUMBER), ("phone", PLUMBER)):
        pages[user].goto("/logg-inn")
        pages[user].locator(f'button[value="{name}"]').click()
        expect(pages[user].get_by_role("heading", name="Instrumentbord")).to_be_visible()
    temporary, task, target, linked = (claims[name] for name in ("temporary", "task", "target", "linked"))
    _report(pages[PLUMBER], temporary)
    _link(pages[HANDLER], linked, target)
    take("instrumentbord", HANDLER, "/")
    take("instrumentbord-partner", PLUMBER, "/")
    take("saksliste", HANDLER, "/saker")
    take("saksliste-midlertidige", HANDLER, "/saker?midlertidig=1")
    take("sak-midlertidig", HANDLER, f"/saker/{temporary}")
    take("sak-normal", HANDLER, f"/saker/{target}")
    take("sak-avbrutt", HANDLER, f"/saker/{linked}")
    take("normal", HANDLER, f"/saker/{temporary}", dialog="#normal")
    take("tilknytning", HANDLER, f"/saker/{temporary}/tilknytning")
    take("tilknytning-bekreft", HANDLER, f"/saker/{temporary}/tilknytning/{target}")
    take("rett-opplysninger", HANDLER, f"/saker/{temporary}/rett")
    take("avbryt", HANDLER, f"/saker/{temporary}", dialog="#cancel")
    take("tildel-oppgave", HANDLER, f"/saker/{temporary}", dialog="#assign")
    take("godkjenn-budsjett", HANDLER, f"/saker/{temporary}", dialog='[id^="budget-"]')
    take("opphev", HANDLER, f"/saker/{linked}", dialog="#unlink")
    take("velg-forsikringsselskap", PLUMBER, "/saker/ny")
    take("ny-midlertidig-sak", PLUMBER, f"/saker/ny?forsikringsselskap={INSURER}")
    take("rapporter", PLUMBER, f"/saker/{temporary}/oppgaver/{task}/rapport")
    take("admin-kontorer", HANDLER, "/admin/kontorer")
    take("admin-kontor", HANDLER, "/admin/kontorer", dialog="#office-vest-bergen")
    take("admin-selskap", HANDLER, "/admin/selskap")
    take("admin-rapporter", HANDLER, "/admin/rapporter")
    take("admin-rapport", HANDLER, "/admin/rapporter/2026-W47")
    take("fant-ikke", PLUMBER, "/admin/rapporter")
    take("telefon-saksliste", "phone", "/saker")
    take("telefon-sak", "phone", f"/saker/{temporary}")
    take("telefon-ny-midlertidig-sak", "phone", f"/saker/ny?forsikringsselskap={INSURER}")


def _take_during_outages(folder: Path, stack: Stack, pages: dict[str, Page], claim: str) -> None:
    page = pages[PLUMBER]
    page.goto(f"/saker/ny?forsikringsselskap={INSURER}")
    fill(page)
    (claims,) = stack.of("claims")
    claims.stop()
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_role("heading", name="Forespørselen er sendt")).to_be_visible(timeout=30_000)
    page.screenshot(path=folder / "pa-vei.png", full_page=True)
    page = pages[HANDLER]
    page.goto(f"/saker/{claim}/avbryt")
    page.get_by_label("Begrunnelse").fill("Falsk alarm fra naboen")
    stack.kafka.stop()
    page.get_by_role("button", name="Avbryt saken").click()
    expect(page.get_by_role("heading", name="Ikke sendt ennå")).to_be_visible(timeout=30_000)
    page.screenshot(path=folder / "ikke-sendt.png", full_page=True)
    page.goto("/saker")
    expect(page.get_by_text("Meldingsbussen svarer ikke.")).to_be_visible(timeout=30_000)
    page.screenshot(path=folder / "bussen-svarer-ikke.png", full_page=True)


def _fill(connection: Connection) -> dict[str, str]:
    today = datetime.now(UTC).date()
    bodies = [
        {
            "incident": {
                "date": (today - timedelta(days=n + 1)).isoformat(),
                "cause": cause,
                "address": {"street": street, "postal_code": postal_code, "city": city},
                "description": "Vann fra oppvaskmaskinen har rent ned i kjelleren. Parketten er våt.",
            },
            "policyholder": {"name": name, "phone": phone},
        }
        for n, (name, phone, street, postal_code, city, cause) in enumerate(PEOPLE)
    ]
    with Company(connection, INSURER) as insurer, Company(connection, PARTNER) as partner:
        normal = [
            NewRequest("register-claim", {**body, "claim_number": f"2026-{4700 + n}", "handler": HANDLER})
            for n, body in enumerate(bodies)
        ]
        registered = insurer.ask(*normal)
        office = {"insurer": INSURER, "office": "vest-bergen"}
        created = partner.ask(
            *(
                NewRequest("create-temporary-claim", {**body, **office, "tasks": [{"kind": "first_aid"}]})
                for body in bodies[:3]
            )
        )
        insurer.ask(NewRequest("set-portal-settings", {"inspection_needs_budget": True}))
        claim = created[0].body["claim_id"]
        partner.ask(NewRequest("assign-task", {"claim_id": claim, "kind": "inspection"}))
    _publish_report(connection)
    return {
        "temporary": claim,
        "task": created[0].body["task_ids"][0],
        "target": registered[1].body["claim_id"],
        "linked": created[1].body["claim_id"],
    }


def _report(page: Page, claim: str) -> None:
    page.goto(f"/saker/{claim}")
    page.get_by_role("link", name="Rapporter").first.click()
    page.get_by_label("Rapport", exact=True).fill("Vannet er stengt og tørking satt i gang.")
    files = [
        FilePayload(name=f"{name}.png", mimeType="image/png", buffer=picture(colour))
        for name, colour in (("kjeller", "#5b7a99"), ("parkett", "#b08a5b"))
    ]
    page.locator('input[type="file"][multiple]').set_input_files(files)
    expect(page.get_by_text("Lastet opp")).to_have_count(2)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()


def _link(page: Page, claim: str, target: str) -> None:
    page.goto(f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_be_visible(timeout=30_000)


def _publish_report(connection: Connection) -> None:
    """Publish a report as the service reporting does, so that no week has to pass."""

    def figures(kind: type[Any], period: str, begins: datetime, created: int, **more: Any) -> Any:
        by_cause = {Cause.WATER: created // 2, Cause.STORM: created // 4, Cause.FIRE: created // 4}
        return kind(
            insurer=INSURER,
            period=period,
            from_=begins,
            to=begins + timedelta(days=7),
            preliminary=False,
            closed_at=begins + timedelta(days=7, minutes=1),
            created=Created(
                total=created,
                inside_office_hours=created // 5,
                outside_office_hours=created - created // 5,
                by_office={"vest-bergen": created - 3, "vest-voss": 3},
                by_cause=by_cause,
            ),
            refused=RefusedRequests(total=4, by_code={"inside_office_hours": 3, "never_permitted": 1}),
            converted=created // 2,
            linked=created // 3,
            cancelled=1,
            waiting=2,
            time_to_converted=Durations(median_s=5_400, p90_s=54_000),
            time_to_linked=Durations(median_s=7_300, p90_s=61_000),
            tasks=Tasks(assigned=created + 4, reported=created),
            **more,
        )

    begins = datetime(2026, 11, 15, 23, tzinfo=UTC)
    before = figures(Figures, "2026-W46", begins - timedelta(days=7), 18)
    report = figures(PeriodReport, "2026-W47", begins, 26, previous=before)
    ready = ReportReady(insurer=INSURER, period=report.period, time_zone="Europe/Oslo", read_up_to={}, report=report)
    message = outgoing(REPORTS.name, INSURER, ready, id="1", source="reporting", cause="1")
    producer = Producer(connection.client())
    producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
    producer.flush(30)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
