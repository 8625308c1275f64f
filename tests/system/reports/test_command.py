"""`claimbus report` on real requests: what was just done is in the report of the running period."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from operations.bus import NewRequest
from tests.builders.content import POLICYHOLDER
from tests.system.reports.conftest import Reporting
from tests.world import World, as_json, claimbus, report

KEYS = [
    *("insurer", "period", "from", "to", "preliminary", "closed_at", "created", "refused", "converted", "linked"),
    *("cancelled", "waiting", "time_to_converted", "time_to_linked", "tasks", "previous"),
]

OLD, NEW = 500, 5
"""Claims before a rebuild, and in each round while it goes on."""


@pytest.fixture(scope="module")
def world(reporting: Reporting) -> Iterator[World]:
    world = World(reporting.connection)
    reporting.connection.save(reporting.connection_file)
    _do(world)
    reporting.all_read()
    yield world
    world.close()


def _do(world: World) -> None:
    """Create six claims, have three requests refused; convert one, link two and take one of those back, cancel one."""
    claims = [world.create(tasks=[{"kind": "first_aid"}]) for _ in range(6)]
    refused = [
        world.creation(office=world.other_office),
        world.creation(policyholder=POLICYHOLDER | {"phone": "12"}),
        world.creation(insurer="nobody"),
    ]
    assert not any(outcome.accepted for outcome in world.partner.ask(*refused))
    ids = [claim.body["claim_id"] for claim in claims]
    (reported,) = world.partner.ask(report(claims[0], "Tørket."))
    assert reported.accepted
    _ask(world, "convert-to-normal", claim_id=ids[0], claim_number=f"SK-{world.insurer_id}", handler=world.handler)
    for claim_id in ids[1:3]:
        _ask(world, "link-claim", claim_id=claim_id, target_claim_id=ids[0])
        world.event(world.insurer, "claim-linked", claim_id)
    _ask(world, "unlink-claim", claim_id=ids[2])
    world.event(world.insurer, "claim-unlinked", ids[2])
    _ask(world, "cancel-claim", claim_id=ids[3])


def _ask(world: World, name: str, **body: Any) -> None:
    (outcome,) = world.insurer.ask(NewRequest(name, body))
    assert outcome.accepted, outcome.body


def test_the_running_period_is_reported_as_preliminary_in_the_form_of_the_contract(
    reporting: Reporting, world: World
) -> None:
    report = as_json(_report(reporting, world, "--json"))
    assert [key for key in report if key != "short"] == KEYS
    assert (report["preliminary"], report["closed_at"], report["previous"]) == (True, None, None)
    assert report["short"] is True
    assert report["created"] == {
        "total": 6,
        "inside_office_hours": report["created"]["inside_office_hours"],
        "outside_office_hours": 6 - report["created"]["inside_office_hours"],
        "by_office": {world.office: 6},
        "by_cause": {"water": 6},
    }
    assert report["refused"] == {"total": 2, "by_code": {"invalid_request": 1, "not_your_office": 1}}
    assert {name: report[name] for name in ("converted", "linked", "cancelled", "waiting")} == {
        "converted": 1,
        "linked": 1,
        "cancelled": 1,
        "waiting": 3,
    }
    assert report["tasks"] == {"assigned": 6, "reported": 1}
    assert 0 < report["time_to_converted"]["median_s"] == report["time_to_converted"]["p90_s"]
    assert as_json(_report(reporting, world, "--format=json", f"--period={report['period']}")) == report


def test_the_report_can_be_had_as_text_spreadsheet_and_csv(reporting: Reporting, world: World, tmp_path: Path) -> None:
    text = _report(reporting, world, "--language=nb").stdout
    assert "Foreløpig: perioden er ikke avsluttet." in text
    assert "Bergen" in text  # an office's name, not its id
    file = tmp_path / "report.xlsx"
    _report(reporting, world, "--format=xlsx", f"--output={file}")
    rows_of_sheet = load_workbook(file)["Overview"].iter_rows(values_only=True)
    assert next(row[1] for row in rows_of_sheet if row[0] == "Created") == 6
    for words, separator in ((["--for=machines"], ","), ([], ";"), (["--for=people"], ";")):
        written = _report(reporting, world, "--format=csv", *words).stdout
        rows = list(csv.DictReader(io.StringIO(written.removeprefix("\ufeff")), delimiter=separator))
        assert {row["key"]: row["value"] for row in rows if row["table"] == "summary"}["created"] == "6"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--insurer=nobody",), "nobody is not a registered insurer"),
        (("--period=2019-W01",), "has no period 2019-W01"),
        (("--period=soon",), "has no period soon"),
    ],
)
def test_a_report_that_there_is_not_is_refused_with_a_sentence(
    reporting: Reporting, world: World, words: tuple[str, ...], message: str
) -> None:
    insurer = () if words[0].startswith("--insurer") else (f"--insurer={world.insurer_id}",)
    done = claimbus("report", *insurer, *words, connection_file=reporting.connection_file)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


@pytest.mark.parametrize("who", ["the partner", "operator"])
def test_there_is_no_report_of_who_is_not_an_insurer(reporting: Reporting, world: World, who: str) -> None:
    company = world.partner_id if who == "the partner" else who
    done = claimbus("report", f"--insurer={company}", connection_file=reporting.connection_file)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{company} is not a registered insurer" in done.stderr


def test_a_period_in_which_claims_can_be_missing_is_refused_with_a_sentence(reporting: Reporting, world: World) -> None:
    reporting.in_database(lambda transaction: transaction.completeness.set_incomplete(True))
    try:
        done = claimbus("report", f"--insurer={world.insurer_id}", connection_file=reporting.connection_file)
    finally:
        reporting.in_database(lambda transaction: transaction.completeness.set_incomplete(False))
    assert (done.returncode, done.stdout) == (1, "")
    assert "claims can be missing in it: run `claimbus rebuild reporting`" in " ".join(done.stderr.split())


def test_a_rebuild_while_claims_go_on_comes_to_the_same(reporting: Reporting, world: World) -> None:
    before = as_json(_report(reporting, world, "--json"))
    busy = World(reporting.connection)
    old = busy.partner.ask(*(busy.creation(tasks=[{"kind": "first_aid"}]) for _ in range(OLD)))
    rounds = rounds_inside = 0
    with ThreadPoolExecutor(1) as thread:
        rebuilding = thread.submit(
            claimbus, "rebuild", "reporting", "--json", connection_file=reporting.connection_file
        )
        while not rebuilding.done():
            was_under_way = reporting.in_database(lambda transaction: transaction.completeness.is_incomplete())
            created = busy.partner.ask(busy.creation(office=busy.other_office), *(busy.creation() for _ in range(NEW)))
            assert [outcome.accepted for outcome in created] == [False] + [True] * NEW
            claim_id = old[rounds].body["claim_id"]
            _ask(busy, "convert-to-normal", claim_id=claim_id, claim_number=f"SK-{rounds}", handler=busy.handler)
            rounds += 1
            rounds_inside += bool(
                was_under_way and reporting.in_database(lambda transaction: transaction.completeness.is_incomplete())
            )
    done = rebuilding.result()
    assert done.returncode == 0, done.stderr
    assert rounds_inside > 0
    assert as_json(done)["claims"] >= OLD + before["created"]["total"]
    assert as_json(done)["refused_requests"] >= before["refused"]["total"]
    reporting.all_read()
    assert as_json(_report(reporting, world, "--json")) == before
    report = as_json(_report(reporting, busy, "--json"))
    busy.close()
    assert report["created"]["by_office"] == {busy.office: OLD + NEW * rounds}
    assert report["refused"] == {"total": rounds, "by_code": {"not_your_office": rounds}}
    assert (report["converted"], report["waiting"]) == (rounds, OLD + (NEW - 1) * rounds)
    assert report["tasks"] == {"assigned": OLD, "reported": 0}


def _report(reporting: Reporting, world: World, *words: str) -> Any:
    done = claimbus("report", f"--insurer={world.insurer_id}", *words, connection_file=reporting.connection_file)
    assert done.returncode == 0, done.stderr
    return done
