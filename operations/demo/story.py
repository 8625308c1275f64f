"""The steps of the demo: what is sent, what must come back. Each is a promise of the product, cited by its rule."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from confluent_kafka import KafkaException

from operations.bus import Company, Delivered, NewRequest
from operations.connection import Connection
from operations.dead_letters import DeadLetters
from operations.demo.files import document, photo
from operations.directory_view import directory_from_bus
from operations.report import look_up
from operations.under_way import wait_until_finished
from operations.uploads import fetch_when_there, upload
from shared.contract import ids
from shared.contract.topics import EVENTS, REQUESTS
from shared.domain.public_holidays import Region

INSURER = "fjord-forsikring"
PARTNER = "vest-skadeservice"
OTHER_PARTNER = "nord-ror"
_DENIED = "TOPIC_AUTHORIZATION_FAILED"
_REPORT_S = 30.0
_LOOK_EVERY_S = 0.2


@dataclass
class Step:
    """One step as it went: a title, lines of what was sent and came back, and what was expected but did not happen."""

    title: str
    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def sent(self, company: str, request: NewRequest) -> None:
        """Note a request."""
        self.lines.append(f"{company} ▶ {request.name} ({request.id})")

    def came(self, company: str, message: Delivered) -> None:
        """Note an outcome or event."""
        self.lines.append(f"{company} ◀ {_summary(message)}")

    def expect(self, what: str, holds: bool) -> None:
        """Check something."""
        if holds:
            self.lines.append(f"✓ {what}")
        else:
            self.failures.append(what)


class Story:
    """The demo's companies on the bus, and what they have done so far."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.insurer = Company(connection, INSURER)
        self.partner = Company(connection, PARTNER)
        self.other = Company(connection, OTHER_PARTNER)
        self._accepted: Delivered
        self._linkable: Delivered
        self._files: list[dict[str, Any]]
        self._night: Delivered

    def close(self) -> None:
        """Close the companies' connections."""
        for company in (self.insurer, self.partner, self.other):
            company.close()

    def steps(self) -> list[tuple[str, Callable[[Step], None]]]:
        """The steps, in order."""
        return [
            ("An office that is never permitted is refused (rule 1)", self.never),
            (
                "An office that is always permitted creates a temporary claim at any hour (rules 1, 6 and 9)",
                self.always,
            ),
            ("The insurer has it on its own topic at once (rule 10)", self.insurer_sees_it),
            ("Inside office hours the insurer's own desk is open: refused, with the rule (rules 3 and 6)", self.inside),
            ("The insurer closes for the day; now the same office may create (rules 2 to 4)", self.outside),
            ("With the right of the enhanced function a task goes to another partner (rule 7)", self.right_used),
            ("Without the right it is refused, and nothing of it takes effect (rule 7)", self.right_refused),
            ("The same request again gets the same outcome and no second claim (rule 21)", self.duplicate),
            ("A body that is not JSON is refused with the reason, as its id can be read (rule 22)", self.malformed),
            (
                "A message without an id becomes a dead letter, and the next one goes through (rule 22)",
                self.dead_letter,
            ),
            ("A company that names another company's office is refused (rule 5)", self.foreign_office),
            ("The broker lets no company write or read another company's topic (rule 5)", self.denied),
            ("The partner reports on its first-aid task (rule 11)", self.reported),
            ("Claimbus suggests to the insurer which normal claim it may belong to (rules 10 and 15)", self.suggested),
            ("The insurer makes the claim a normal one (rule 14)", self.converted),
            ("The partner uploads photos and a document and reports them; a forged key is refused", self.media),
            ("The insurer links the claim to the one that exists, files and all (rule 15)", self.linked),
            ("What the partner reports later lands on that claim, and the answer says so (rule 17)", self.late),
            ("The insurer takes the link back; the claim is temporary again with all of it", self.unlinked),
            ("The insurer takes out a hoax; nobody can report on it any more (rule 14)", self.cancelled),
            ("The report of the running week has all of it, marked preliminary (rules 18 to 20)", self.report),
        ]

    def never(self, step: Step) -> None:
        """Refused with never_permitted."""
        outcome = self._ask(step, self.other, creation(office="nord-tromso"))
        step.expect("refused with never_permitted", outcome.body.get("code") == "never_permitted")
        step.expect("the answer names the rule", outcome.body["decision"]["rule"] == "never_permitted")
        step.expect("and says it in Norwegian", "ikke tillatelse" in outcome.body["message"]["nb"])

    def always(self, step: Step) -> None:
        """Accepted, with a claim id that the partner could compute."""
        request = creation(office="vest-bergen", partner_reference="VS-1001", tasks=[{"kind": "first_aid"}])
        outcome = self._accepted = self._ask(step, self.partner, request)
        step.expect("accepted, always_permitted", outcome.accepted and _rule(outcome) == "always_permitted")
        step.expect("the claim number says Midlertidig", "Midlertidig" in outcome.body.get("claim_number", ""))
        computed = str(ids.claim_id(PARTNER, request.id))
        step.expect("the claim's id is the one that the partner computed", outcome.body.get("claim_id") == computed)

    def insurer_sees_it(self, step: Step) -> None:
        """The event is there for the insurer and the creator, and for nobody else."""
        claim = self._accepted.body["claim_id"]
        created = self._event(step, self.insurer, "temporary-claim-created", claim)
        step.expect("with everything of the claim", created.body["policyholder"]["name"] == "Anne Berg")
        step.expect("without the list of who else may see it", "audience" not in created.body)
        self._settle()
        hidden = all(message.body.get("claim_id") != claim for message in self.other.received)
        step.expect("the other partner has heard nothing of it", hidden)

    def inside(self, step: Step) -> None:
        """Refused with inside_office_hours."""
        always_open = {
            day: {"opens": "00:00", "closes": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        }
        settings = {"office_hours": always_open, "country": country_without_holiday(), "closed_days": []}
        self._ask(step, self.insurer, NewRequest("set-portal-settings", settings))
        outcome = self._ask(step, self.partner, creation(office="vest-voss"))
        step.expect("refused with inside_office_hours", outcome.body.get("code") == "inside_office_hours")

    def outside(self, step: Step) -> None:
        """Accepted because of a closed day."""
        today = datetime.now(ZoneInfo("Europe/Oslo")).date()
        closed = [today.isoformat(), (today + timedelta(days=1)).isoformat()]
        self._ask(step, self.insurer, NewRequest("set-portal-settings", {"closed_days": closed}))
        outcome = self._night = self._ask(step, self.partner, creation(office="vest-voss"))
        step.expect("accepted, closed_day", outcome.accepted and _rule(outcome) == "closed_day")

    def right_used(self, step: Step) -> None:
        """The other partner gets the claim."""
        tasks = [{"kind": "first_aid"}, {"kind": "inspection", "office": "nord-tromso"}]
        outcome = self._ask(step, self.partner, creation(office="vest-bergen", tasks=tasks))
        step.expect("accepted with two tasks", outcome.accepted and len(outcome.body.get("task_ids", [])) == 2)
        created = self._event(step, self.other, "temporary-claim-created", outcome.body.get("claim_id", ""))
        step.expect(
            "the other partner has the claim's address", created.body["incident"]["address"]["city"] == "Bergen"
        )

    def right_refused(self, step: Step) -> None:
        """Refused with may_not_assign_to_others."""
        request = creation(office="vest-voss", tasks=[{"kind": "inspection", "office": "nord-tromso"}])
        outcome = self._ask(step, self.partner, request)
        step.expect("refused", outcome.body.get("code") == "may_not_assign_to_others")
        named = creation(office="vest-bergen", claim_number="2026-77")
        outcome = self._ask(step, self.partner, named)
        step.expect("nor may it define the number", outcome.body.get("code") == "may_not_define_claim_number")
        self._settle()
        refused = {str(ids.claim_id(PARTNER, refused_request.id)) for refused_request in (request, named)}
        step.expect("neither became a claim", not refused & self._created())

    def duplicate(self, step: Step) -> None:
        """One outcome, one claim."""
        first = self._accepted
        before = self._created()
        again = creation(office="vest-voss", id=first.body["request_id"])
        outcome = self._ask(step, self.partner, again)
        step.expect("the same outcome", outcome.body == first.body)
        step.expect("with the same ce_id", outcome.id == first.id)
        self._settle()
        step.expect("and no second claim", self._created() == before)

    def malformed(self, step: Step) -> None:
        """Refused with invalid_request."""
        outcome = self._ask(step, self.partner, NewRequest("create-temporary-claim", b'{"insurer": "fjord'))
        step.expect("refused with invalid_request", outcome.body.get("code") == "invalid_request")
        outcome = self._ask(step, self.partner, creation(office="vest-bergen", policyholder={"name": "Anne Berg"}))
        fields = [detail["field"] for detail in outcome.body.get("details", [])]
        step.expect("and one that is incomplete names the field", fields == ["policyholder.phone"])

    def dead_letter(self, step: Step) -> None:
        """Put aside with its reason, and in nobody's way."""
        letters = DeadLetters(self._connection)
        before = {letter.id for letter in letters.open()}
        self.partner.send([NewRequest("create-temporary-claim", b"\xff\x00", id="not an id", key="x")])
        step.lines.append(f"{PARTNER} ▶ bytes without a readable id")
        outcome = self._ask(step, self.partner, creation(office="vest-bergen"))
        step.expect("the next request is accepted", outcome.accepted)
        letters.wait_for_more_than(len(before))
        self._settle()
        new = [letter for letter in letters.open() if letter.id not in before]
        step.expect("one dead letter", len(new) == 1)
        step.lines += [f"dead letter {letter.id}: {letter.reason}" for letter in new]

    def foreign_office(self, step: Step) -> None:
        """Refused with not_your_office."""
        outcome = self._ask(step, self.other, creation(office="vest-bergen"))
        step.expect("refused with not_your_office", outcome.body.get("code") == "not_your_office")

    def denied(self, step: Step) -> None:
        """Denied by the broker, not by us."""
        topic = REQUESTS.of(PARTNER)
        try:
            self.other.send([creation(office="vest-bergen")], topic=topic)
            step.expect(f"{OTHER_PARTNER} cannot write {topic}", False)
        except KafkaException as error:
            name = error.args[0].name()
            step.expect(f"{OTHER_PARTNER} cannot write {topic}: {name}", name == _DENIED)
        error_name = self.other.error_reading(EVENTS.of(PARTNER))
        step.expect(f"{OTHER_PARTNER} cannot read {EVENTS.of(PARTNER)}: {error_name}", error_name == _DENIED)

    def reported(self, step: Step) -> None:
        """No budget is needed for first aid."""
        claim, task = self._accepted.body["claim_id"], self._accepted.body["task_ids"][0]
        report = {"claim_id": claim, "task_id": task, "text": "Vannet er stengt, kjelleren er tømt.", "finished": True}
        outcome = self._ask(step, self.partner, NewRequest("report-task", report, actor="Ola Vik"))
        step.expect("accepted", outcome.accepted)
        event = self._event(step, self.insurer, "task-reported", claim)
        step.expect("the insurer knows who reported", event.body["actor"] == {"company": PARTNER, "name": "Ola Vik"})

    def suggested(self, step: Step) -> None:
        """The insurer's own desk had registered the same damage, typed a little differently."""
        registration = {
            "claim_number": "2026-000119",
            "handler": "kari-holm",
            "incident": {
                "date": (datetime.now(UTC).date() - timedelta(days=2)).isoformat(),
                "cause": "flood",
                "address": {"street": "Strandgt. 1", "postal_code": "5004", "city": "Bergen"},
            },
            "policyholder": {"name": "Berg, Ane", "phone": "+4791234567"},
        }
        normal = self._ask(step, self.insurer, NewRequest("register-claim", registration, actor="Kari Holm"))
        event = self._event(step, self.insurer, "link-suggested", self._accepted.body["claim_id"])
        (suggestion,) = event.body["suggestions"]
        why = " ".join(reason["message"]["en"] for reason in suggestion["reasons"])
        step.lines.append(f"suggested: {suggestion['claim_number']}, score {suggestion['score']}. {why}")
        step.expect("it is the one", suggestion["claim_id"] == normal.body["claim_id"])
        self._settle()
        kept = all(message.type != "link-suggested" for message in self.partner.received)
        step.expect("the partner hears nothing of other people's claims", kept)

    def converted(self, step: Step) -> None:
        """A number and a claims handler."""
        claim = self._accepted.body["claim_id"]
        conversion = {"claim_id": claim, "claim_number": "2026-000123", "handler": "kari-holm"}
        outcome = self._ask(step, self.insurer, NewRequest("convert-to-normal", conversion, actor="Kari Holm"))
        step.expect("accepted", outcome.accepted)
        event = self._event(step, self.partner, "claim-converted", claim)
        step.expect("the partner knows the new number", event.body["claim_number"] == "2026-000123")
        again = NewRequest("convert-to-normal", conversion | {"claim_number": "2026-000124"})
        step.expect("twice is refused", self._ask(step, self.insurer, again).body.get("code") == "not_temporary")

    def media(self, step: Step) -> None:
        """Three files, verified when they are uploaded and named by the key that says so."""
        outcome = self._linkable = self._ask(step, self.partner, creation("vest-bergen", tasks=[{"kind": "first_aid"}]))
        files = [
            upload(self._connection, PARTNER, name, content_type, content)
            for name, content_type, content in (
                ("kjeller.png", "image/png", photo()),
                ("vegg.png", "image/png", photo()),
                ("besiktigelse.pdf", "application/pdf", document()),
            )
        ]
        step.lines += [f"{PARTNER} ▶ {file['name']}, {file['size']} bytes" for file in files]
        report = {"claim_id": outcome.body["claim_id"], "task_id": outcome.body["task_ids"][0], "text": "Tømt."}
        forged = {**files[0], "key": files[0]["key"].replace(".", "x.")}
        refused = self._ask(step, self.partner, NewRequest("report-task", {**report, "media": [forged]}))
        step.expect("refused with media_missing", refused.body.get("code") == "media_missing")
        step.expect(
            "accepted", self._ask(step, self.partner, NewRequest("report-task", {**report, "media": files})).accepted
        )
        event = self._event(step, self.insurer, "task-reported", outcome.body["claim_id"])
        self._files = event.body["report"]["media"]
        step.expect("the insurer knows all three", [m["sha256"] for m in self._files] == [f["sha256"] for f in files])

    def linked(self, step: Step) -> None:
        """Verified copies on the target, the source cancelled, both histories point to each other."""
        source, target = self._linkable.body["claim_id"], self._accepted.body["claim_id"]
        request = NewRequest(
            "link-claim", {"claim_id": source, "target_claim_number": "2026-000123"}, actor="Kari Holm"
        )
        step.expect("accepted", self._ask(step, self.insurer, request).accepted)
        imported = self._event(step, self.insurer, "content-imported", target).body
        linked = self._event(step, self.insurer, "claim-linked", source).body
        step.expect("the cancelled claim points to the other", linked["target_claim_id"] == target)
        step.expect("and the other to the cancelled one", imported["source_claim_id"] == source)
        copies = [media for task in imported["tasks"] for report in task["reports"] for media in report["media"]]
        contents = [fetch_when_there(self._connection, INSURER, copy["media_id"]) for copy in copies]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        step.expect("three copies with equal SHA-256", digests == [media["sha256"] for media in self._files])

    def late(self, step: Step) -> None:
        """Redirected."""
        body = {"claim_id": self._linkable.body["claim_id"], "task_id": self._linkable.body["task_ids"][0]}
        outcome = self._ask(step, self.partner, NewRequest("report-task", {**body, "text": "Tørket."}))
        target = self._accepted.body["claim_id"]
        step.expect("redirected_to the other claim", outcome.body.get("redirected_to") == target)
        event = self._event(step, self.insurer, "content-imported", target, part=2)
        step.expect("where it is now", event.body["tasks"][0]["reports"][0]["text"] == "Tørket.")

    def unlinked(self, step: Step) -> None:
        """Withdrawn from the target, with a note in its history."""
        source, target = self._linkable.body["claim_id"], self._accepted.body["claim_id"]
        outcome = self._ask(step, self.insurer, NewRequest("unlink-claim", {"claim_id": source}, actor="Kari Holm"))
        step.expect("accepted", outcome.accepted)
        withdrawn = self._event(step, self.insurer, "content-withdrawn", target)
        step.expect("the other claim has given it up", withdrawn.body["source_claim_id"] == source)
        self._event(step, self.partner, "claim-unlinked", source)
        body = {"claim_id": source, "task_id": self._linkable.body["task_ids"][0], "text": "Ferdig.", "finished": True}
        again = self._ask(step, self.partner, NewRequest("report-task", body))
        step.expect("reports stay with it again", again.accepted and "redirected_to" not in again.body)

    def cancelled(self, step: Step) -> None:
        """The claim is out."""
        claim = self._night.body["claim_id"]
        cancel = NewRequest("cancel-claim", {"claim_id": claim, "reason": "Falsk melding"}, actor="Kari Holm")
        step.expect("accepted", self._ask(step, self.insurer, cancel).accepted)
        task = NewRequest("assign-task", {"claim_id": claim, "kind": "first_aid"})
        refused = self._ask(step, self.partner, task)
        step.expect("a task is refused with already_cancelled", refused.body.get("code") == "already_cancelled")

    def report(self, step: Step) -> None:
        """Counted from the stream, and the same as what the companies received."""
        refusals = {
            (m.body["company"], m.body["request_id"])
            for company in (self.partner, self.other)
            for m in company.received
            if m.body.get("insurer") == INSURER and m.type == "request-refused"
        }
        events = Counter(name for name, _ in {(m.type, m.body.get("claim_id")) for m in self.insurer.received})
        expected = {
            "created": events["temporary-claim-created"],
            "requests refused": len(refusals),
            "converted": events["claim-converted"],
            "linked": events["claim-linked"] - events["claim-unlinked"],
            "cancelled": events["claim-cancelled"],
        }
        directory = directory_from_bus(self._connection)
        deadline = time.monotonic() + _REPORT_S
        while True:
            report, _ = asyncio.run(look_up(self._connection, directory, INSURER, None))
            found = {
                "created": report.created.total,
                "requests refused": report.refused.total,
                **{name: getattr(report, name) for name in ("converted", "linked", "cancelled")},
            }
            if found == expected or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY_S)
        step.lines.append(f"claimbus report --insurer {INSURER} ▶ {report.period}")
        for name, count in expected.items():
            step.expect(f"{name}: {count}", found[name] == count)
        step.expect("marked preliminary", report.preliminary)

    def _settle(self) -> None:
        """Wait until nothing is under way, and read what the companies were sent: what has not come will not come."""
        wait_until_finished(self._connection)
        for company in (self.insurer, self.partner, self.other):
            company.read_to_end()

    def _created(self) -> set[str]:
        """The ids of the temporary claims that the insurer has received."""
        return {m.body["claim_id"] for m in self.insurer.received if m.type == "temporary-claim-created"}

    def _ask(self, step: Step, company: Company, request: NewRequest) -> Delivered:
        step.sent(company.id, request)
        (outcome,) = company.ask(request)
        step.came(company.id, outcome)
        return outcome

    def _event(self, step: Step, company: Company, name: str, claim_id: str, **says: Any) -> Delivered:
        def found() -> Iterator[Delivered]:
            wanted = {"claim_id": claim_id, **says}.items()
            return (m for m in company.received if m.type == name and wanted <= m.body.items())

        company.wait_until(lambda _: any(found()), what=name)
        event = next(found())
        step.came(company.id, event)
        return event


def creation(office: str, id: str | None = None, **more: Any) -> NewRequest:
    """Make a request for a temporary claim."""
    body = {
        "insurer": INSURER,
        "office": office,
        "incident": {
            "date": (datetime.now(UTC).date() - timedelta(days=1)).isoformat(),
            "cause": "water",
            "address": {"street": "Strandgata 1", "postal_code": "5004", "city": "Bergen"},
            "description": "Vannlekkasje i kjelleren.",
        },
        "policyholder": {"name": "Anne Berg", "phone": "+4791234567"},
        **more,
    }
    request = NewRequest("create-temporary-claim", body, actor="Ola Vik")
    return request if id is None else NewRequest(request.name, body, id=id, actor="Ola Vik")


def country_without_holiday() -> str:
    """Norway, unless today is a public holiday there: then a country where it is not."""
    today = datetime.now(ZoneInfo("Europe/Oslo")).date()
    days = (today, today + timedelta(days=1))
    return next(c for c in ("NO", "SA", "IN", "JP") if not any(Region(c).holiday(day) for day in days))


def _rule(outcome: Delivered) -> str:
    return str(outcome.body.get("decision", {}).get("rule"))


def _summary(message: Delivered) -> str:
    body = message.body
    parts = [message.type]
    parts += [str(body[name]) for name in ("code", "claim_number", "reason") if name in body]
    if "decision" in body:
        parts.append(f"[{body['decision']['explanation']['en']}]")
    return " ".join(parts)
