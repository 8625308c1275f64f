"""Tilknytning, as the insurer and the partner see it (domain rules 15–17)."""

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from operations.bus import Company, Delivered, NewRequest
from operations.demo.files import document, photo
from operations.uploads import NotUploaded, fetch, fetch_when_there, upload
from shared.media.keys import stored
from tests.builders.content import FIRST_AID
from tests.world import World, link, report, wait_until

pytestmark = pytest.mark.promise(
    "A link is all or nothing, and no report is lost or doubled, whatever the order of steps and reports; "
    "taking it back brings everything back.",
    about="links",
)


def register(world: World) -> tuple[str, str]:
    """Have the insurer register a normal claim; return its id and number."""
    number = f"SK-{secrets.token_hex(4)}"
    return world.register(number), number


def of(company: Company, name: str, claim_id: str) -> Iterator[Delivered]:
    """A claim's events of a kind that a company has received, each once."""
    seen: set[str] = set()
    for message in company.received:
        if message.type == name and message.body["claim_id"] == claim_id and message.id not in seen:
            seen.add(message.id)
            yield message


def texts_on(company: Company, target: str) -> Counter[str]:
    """The texts of the reports that were imported into a claim, with how often."""
    return Counter(
        made["text"]
        for event in of(company, "content-imported", target)
        for task in event.body["tasks"]
        for made in task["reports"]
    )


def test_a_claim_is_linked_with_its_reports_and_both_histories_point_to_each_other(world: World) -> None:
    claim = world.create(tasks=[FIRST_AID])
    source = claim.body["claim_id"]
    target, number = register(world)
    assert world.partner.ask(report(claim, "Pumpet"))[0].accepted
    (linked,) = world.insurer.ask(NewRequest("link-claim", {"claim_id": source, "target_claim_number": number}))
    assert linked.accepted, linked.body
    cancelled = world.event(world.insurer, "claim-linked", source)
    assert cancelled.body["target_claim_id"] == target
    assert cancelled.headers["ce_causationid"] == linked.body["request_id"]
    imported = world.event(world.partner, "content-imported", target)
    assert imported.body["source_claim_id"] == source
    assert imported.headers["ce_causationid"] == linked.body["request_id"]
    (copy,) = imported.body["tasks"]
    assert copy["source_task_id"] == claim.body["task_ids"][0]
    assert [made["text"] for made in copy["reports"]] == ["Pumpet"]
    (late,) = world.partner.ask(report(claim, "Tørket"))
    assert late.body["redirected_to"] == target
    world.insurer.wait_until(lambda _: texts_on(world.insurer, target)["Tørket"] == 1, what="the late report")
    world.settle()
    assert texts_on(world.insurer, target) == {"Pumpet": 1, "Tørket": 1}


def test_three_files_are_copied_with_equal_sha256_and_the_copies_removed_when_the_link_is_taken_back(
    world: World,
) -> None:
    claim = world.create(tasks=[FIRST_AID])
    source, (target, _) = claim.body["claim_id"], register(world)
    contents = [photo(), photo(), document()]
    files = [
        upload(world.connection, world.partner_id, f"fil-{n}", kind, content)
        for n, (kind, content) in enumerate(zip(("image/png", "image/png", "application/pdf"), contents, strict=True))
    ]
    assert world.partner.ask(report(claim, "Pumpet", media=files))[0].accepted
    assert world.insurer.ask(link(claim, target))[0].accepted
    world.event(world.insurer, "claim-linked", source)
    (task,) = world.event(world.insurer, "content-imported", target).body["tasks"]
    (made,) = task["reports"]
    copies = [media["media_id"] for media in made["media"]]
    assert [media["sha256"] for media in made["media"]] == [file["sha256"] for file in files]
    for who in (world.insurer_id, world.partner_id):
        assert [fetch_when_there(world.connection, who, copy) for copy in copies] == contents
    late = {"claim_id": target, "task_id": task["task_id"], "media": [files[0]]}
    assert world.partner.ask(NewRequest("report-task", late))[0].accepted
    assert world.insurer.ask(NewRequest("unlink-claim", {"claim_id": source}))[0].accepted
    back = world.event(world.insurer, "claim-unlinked", source)
    (returned,) = (media for task in back.body["tasks"] for made in task["reports"] for media in made["media"])
    assert fetch_when_there(world.connection, world.partner_id, returned["media_id"]) == contents[0]
    kept = Path(urlsplit(str(world.connection.media)).path)
    wait_until(lambda: not any((kept / stored(copy)).exists() for copy in copies), what="the copies to be removed")
    with pytest.raises(NotUploaded, match="404"):
        fetch(world.connection, world.insurer_id, copies[0])
    first = world.event(world.insurer, "task-reported", source).body["report"]["media"][0]
    assert fetch(world.connection, world.insurer_id, first["media_id"]) == contents[0]


def test_a_link_is_taken_back(world: World) -> None:
    claim = world.create(tasks=[FIRST_AID])
    source = claim.body["claim_id"]
    target, _ = register(world)
    assert world.insurer.ask(link(claim, target))[0].accepted
    world.event(world.insurer, "claim-linked", source)
    (copy,) = world.event(world.partner, "content-imported", target).body["tasks"]
    at_target = {"claim_id": target, "task_id": copy["task_id"], "text": "Hos den andre", "finished": True}
    assert world.partner.ask(NewRequest("report-task", at_target))[0].accepted
    (unlinked,) = world.insurer.ask(NewRequest("unlink-claim", {"claim_id": source}))
    assert unlinked.accepted, unlinked.body
    withdrawn = world.event(world.insurer, "content-withdrawn", target)
    assert withdrawn.body["task_ids"] == [copy["task_id"]]
    back = world.event(world.partner, "claim-unlinked", source)
    assert [made["text"] for task in back.body["tasks"] for made in task["reports"]] == ["Hos den andre"]
    assert world.partner.ask(report(claim, "Hos oss"))[0].accepted
    (gone,) = world.partner.ask(NewRequest("report-task", {**at_target, "text": "For sent"}))
    assert gone.body["code"] == "unknown_claim"
    assert world.insurer.ask(link(claim, register(world)[0]))[0].accepted


def test_the_insurer_decides_for_how_many_days_a_link_can_be_taken_back(world: World) -> None:
    world.set_portal(unlink_days=0)
    claim = world.create(tasks=[FIRST_AID])
    assert world.insurer.ask(link(claim, register(world)[0]))[0].accepted
    world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    (refused,) = world.insurer.ask(NewRequest("unlink-claim", {"claim_id": claim.body["claim_id"]}))
    assert refused.body["code"] == "too_late_to_unlink"


def test_of_two_links_of_a_claim_to_different_targets_at_once_exactly_one_wins(world: World) -> None:
    claim = world.create(tasks=[FIRST_AID])
    targets = [register(world)[0], register(world)[0]]
    outcomes = world.insurer.ask(*(link(claim, target) for target in targets))
    assert sorted(outcome.accepted for outcome in outcomes) == [False, True]
    assert [o.body["code"] for o in outcomes if not o.accepted] == ["being_linked"]
    winner = targets[[o.accepted for o in outcomes].index(True)]
    assert world.event(world.insurer, "claim-linked", claim.body["claim_id"]).body["target_claim_id"] == winner
    world.event(world.insurer, "content-imported", winner)
    world.settle()
    (loser,) = set(targets) - {winner}
    assert not list(of(world.insurer, "content-imported", loser))
    assert len(list(of(world.insurer, "claim-linked", claim.body["claim_id"]))) == 1


def test_two_claims_are_linked_into_one_at_once(world: World) -> None:
    first, second = world.create(tasks=[FIRST_AID]), world.create(tasks=[FIRST_AID])
    for n, claim in enumerate((first, second)):
        assert world.partner.ask(report(claim, f"rapport {n}"))[0].accepted
    target, _ = register(world)
    assert all(outcome.accepted for outcome in world.insurer.ask(link(first, target), link(second, target)))
    for claim in (first, second):
        world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    wanted = Counter({"rapport 0": 1, "rapport 1": 1})
    world.insurer.wait_until(lambda _: texts_on(world.insurer, target) == wanted, what="both reports")
    world.settle()
    assert texts_on(world.insurer, target) == wanted


def test_requests_that_are_sent_again_while_the_files_are_copied_lead_to_one_link(world: World) -> None:
    claim = world.create(tasks=[FIRST_AID])
    file = upload(world.connection, world.partner_id, "tak.png", "image/png", photo(200))
    files = [{**file, "name": f"{n}.png"} for n in range(60)]
    assert world.partner.ask(report(claim, "Pumpet", media=files))[0].accepted
    target, _ = register(world)
    once, late = link(claim, target), report(claim, "Tørket", media=files)
    world.insurer.send([once] * 4)
    world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    world.partner.send([late] * 4)

    def everything_is_there(_: Sequence[Delivered]) -> bool:
        return texts_on(world.insurer, target).total() >= 2

    world.insurer.wait_until(everything_is_there, what="both reports")
    world.settle()
    assert len(list(of(world.insurer, "claim-linked", claim.body["claim_id"]))) == 1
    imports = list(of(world.insurer, "content-imported", target))
    media = [m for e in imports for t in e.body["tasks"] for r in t["reports"] for m in r["media"]]
    assert len(media) == len({m["media_id"] for m in media}) == 120
    assert not any(r["lost_media"] for e in imports for t in e.body["tasks"] for r in t["reports"])
    for copy in media[::10]:
        assert fetch_when_there(world.connection, world.insurer_id, copy["media_id"])
    assert not list(of(world.insurer, "link-failed", claim.body["claim_id"]))


def test_a_target_of_another_kind_is_refused_with_the_reason(world: World) -> None:
    claim, other = world.create(), world.create()
    (refused,) = world.insurer.ask(link(claim, other.body["claim_id"]))
    assert refused.body["code"] == "target_not_linkable"
    assert refused.body["details"] == [{"field": "target_claim_id", "problem": "is temporary"}]


def test_in_200_races_of_a_report_and_a_link_no_report_is_lost_or_doubled(world: World) -> None:
    number = 200
    claims = world.partner.ask(*(world.creation(tasks=[FIRST_AID]) for _ in range(number)))
    target, _ = register(world)
    reports = [report(claim, f"rapport {n}") for n, claim in enumerate(claims)]
    for n in range(0, number, 10):  # on two topics, at nearly the same time, now the one first and now the other
        sending = [
            lambda n=n: world.insurer.send(link(claim, target) for claim in claims[n : n + 10]),
            lambda n=n: world.partner.send(reports[n : n + 10]),
        ]
        for send in sending if n % 20 else reversed(sending):
            send()
    wanted = Counter({f"rapport {n}": 1 for n in range(number)})

    def all_there(_: Sequence[Delivered]) -> bool:
        return texts_on(world.insurer, target).total() >= number

    world.insurer.wait_until(all_there, timeout_s=60, what="all reports on the target")
    world.settle()
    assert texts_on(world.insurer, target) == wanted
    answered = {m.body["request_id"] for m in world.partner.received if m.is_outcome}
    assert {request.id for request in reports} <= answered
    for claim in claims:
        assert len(list(of(world.insurer, "claim-linked", claim.body["claim_id"]))) == 1
    imports = list(of(world.insurer, "content-imported", target))
    first = [e for e in imports if e.body["part"] == 1]
    assert len(first) == number
    came_first = sum(bool(task["reports"]) for e in first for task in e.body["tasks"])
    assert 0 < came_first < number, "in some races the report came first, in others the link"
