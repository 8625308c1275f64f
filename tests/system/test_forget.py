"""`claimbus forget`: a person is found, removed everywhere, and the companies are told."""

from pathlib import Path

import pytest

from tests.world import World, as_json, claimbus, link, report

pytestmark = pytest.mark.promise("Of a redacted claim nothing is left that tells of a person.", about="claims")


@pytest.fixture
def file(world: World, tmp_path: Path) -> Path:
    """A connection file with the companies of this test."""
    file = tmp_path / "connection.json"
    world.connection.save(file)
    return file


def test_a_person_is_found_and_forgotten_with_a_receipt(world: World, file: Path) -> None:
    def forget(*words: str, status: int = 0) -> tuple[str, str]:
        done = claimbus("forget", *words, "--insurer", world.insurer_id, "--connection-file", file)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    person = {"name": "Åse-Marit Øygard", "phone": "+4799887766", "email": "Aase@example.no"}
    claim = world.create(policyholder=person, tasks=[{"kind": "first_aid"}])
    id = claim.body["claim_id"]
    world.partner.ask(report(claim, "Åse var hjemme."))
    temporary, shown = forget("--name", "øygard åse-marit", "--yes", status=1)
    assert "still_temporary" in temporary
    assert "Åse-Marit Øygard, +4799887766" in shown
    assert world.insurer.ask(world.conversion(id, f"F-{id}"))[0].accepted
    for words in (("--phone", "998 87 766"), ("--e-mail", "aase@EXAMPLE.no"), (f"F-{id}",), (id,)):
        shown, _ = forget(*words, "--dry-run")
        assert "Øygard" in shown
    assert "no such claim" in forget("--phone", "998 87 767", status=1)[1]
    forget(id, status=1)  # nobody said yes
    done = claimbus("forget", "--name", "øygard", "--yes", "--json", "--connection-file", file)
    (of,) = as_json(done)["claims"]
    assert (of["claim_id"], of["outcome"], of["waiting_for"]) == (id, "redacted", [])
    assert of["removed_from"] == ["record of claims", "portal", "suggestions", "store of files"]
    assert of["companies_told"] == sorted([world.insurer_id, world.partner_id])
    assert "ygard" not in done.stdout
    for company in (world.insurer, world.partner):
        assert world.event(company, "claim-redacted", id).body["actor"] == {"company": "operator"}
    assert "no such claim" in forget("--name", "øygard", "--yes", status=1)[1]
    again, _ = forget(id, "--yes")
    assert f"\nF-{id} of {world.insurer_id} ({id}): redacted before\n" in again


def test_the_claims_that_it_was_linked_to_are_named(world: World, file: Path) -> None:
    claim, target = world.create(tasks=[{"kind": "first_aid"}]), world.register("F-1")
    id = claim.body["claim_id"]
    assert world.insurer.ask(link(id, target))[0].accepted
    world.event(world.insurer, "claim-linked", id)
    (of,) = as_json(claimbus("forget", id, "--yes", "--json", "--connection-file", file))["claims"]
    assert of["linked_claims"] == [{"claim_id": target, "claim_number": "F-1"}]
    (of,) = as_json(claimbus("forget", target, "--yes", "--json", "--connection-file", file))["claims"]
    assert of["linked_claims"] == [], "that one is forgotten already"
    assert of["companies_told"] == sorted([world.insurer_id, world.partner_id])


@pytest.mark.parametrize("words", [(), ("SK-1", "--name", "Anne"), ("--name", " "), ("--phone", "12")])
def test_it_wants_one_claim_or_one_person(file: Path, words: tuple[str, ...]) -> None:
    assert claimbus("forget", *words, "--connection-file", file).returncode == 2
