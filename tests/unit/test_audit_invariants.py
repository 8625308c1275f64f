"""The audit's invariants, each on a small history that is whole, and then broken in one place."""

from collections.abc import Iterable
from uuid import UUID

import pytest

from shared.audit.invariants import BIT, claim_numbers_unique, passed_by
from shared.audit.spool import Spool
from shared.audit.violations import MOST_KEPT, Tally, Violation, checks
from shared.contract.linking import REMEMBERED_UNDER
from shared.contract.topics import SERVICES, ReadModel

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds what breaks an invariant, on the topics and in the tables.", about="running"
)

FJORD, VEST, NORD = "fjord", "vest", "nord"
SOURCE, TARGET = UUID(int=1).bytes, UUID(int=2).bytes
TASK, COPY, REPORT, LATER_REPORT = (UUID(int=n).bytes for n in range(3, 7))
LINK, UNDONE = "0b0f6f0c-6f0e-5d9a-8a53-333333333333", "0b0f6f0c-6f0e-5d9a-8a53-444444444444"
IMPORT, FINISH = f"{LINK}/1/import-content", f"{LINK}/1/finish-link"
EVERYBODY = passed_by(*SERVICES)
AT = 1_000_000


class History:
    """Lays down what a healthy installation has of requests and events."""

    def __init__(self) -> None:
        self.spool = Spool()
        self.off = 0

    def request(self, company: str, id: str, name: str = "any", *, code: str = "") -> None:
        """A request about a claim, from its topic to its company; with a code it was refused."""
        self.off += 1
        at = AT + self.off
        verdict = f"of {id}".encode(), code, "always_permitted"
        outcome = f"outcome of {id}".encode()
        self.spool.add("requests", company, id, 0, self.off, at, False, *verdict, EVERYBODY)
        self.spool.add("commands", company, id, 0, self.off, at, False, *verdict, EVERYBODY)
        given = outcome, code, "always_permitted"
        self.spool.add("outcomes", company, id, False, 0, self.off, at, *given, EVERYBODY)
        self.spool.add("outcome_copies", company, company, id, False, 0, self.off, at, outcome)
        state = "refused" if code else "accepted"
        self.spool.add("recorded_requests", company, id, SOURCE, at, state, f"claimbus.{name}.v1", outcome)

    def directory_request(self, company: str, id: str) -> None:
        """A request about the directory, from its topic to its company."""
        self.off += 1
        at = AT + self.off
        self.spool.add("requests", company, id, 0, self.off, at, True, b"", "", "", EVERYBODY)
        self.spool.add("directory_entries", company, id, at)
        self.spool.add("outcomes", company, id, True, 0, self.off, at, id.encode(), "", "", EVERYBODY)
        self.spool.add("outcome_copies", company, company, id, True, 0, self.off, at, id.encode())

    def step(self, id: str) -> None:
        """A step of a link."""
        self.off += 1
        row = REMEMBERED_UNDER, id, 0, self.off, AT + self.off, True, b"", "", "", EVERYBODY
        self.spool.add("commands", *row)
        self.spool.add("recorded_requests", REMEMBERED_UNDER, id, SOURCE, AT + self.off, None, None, None)

    def event(self, claim: bytes, version: int, company: str, id: str, audience: Iterable[str]) -> None:
        """An event, in the record and on the topics."""
        self.off += 1
        body = f"{claim.hex()}/{version}".encode()
        self.spool.add("events", claim, version, 0, self.off, body, EVERYBODY)
        self.spool.add("recorded_events", claim, version, company, id, AT + self.off, body)
        for receiver in audience:
            self.spool.add("expected_copies", receiver, claim, version, body)
            self.spool.add("copies", receiver, claim, version, 0, self.off, body)


@pytest.fixture
def spool() -> Spool:
    """Two claims of which one was linked to the other, a refusal, and something about the directory."""
    history = History()
    history.directory_request(FJORD, "settings")
    history.request(VEST, "refused", code="never_permitted")
    history.request(VEST, "create")
    history.event(SOURCE, 1, VEST, "create", [FJORD, VEST])
    history.request(FJORD, "register")
    history.event(TARGET, 1, FJORD, "register", [FJORD])
    history.request(FJORD, "link")
    history.event(SOURCE, 2, FJORD, "link", [FJORD, VEST])
    history.spool.add("link_requests", LINK, 1, 0, 0, AT + history.off, EVERYBODY)
    history.step(IMPORT)
    history.event(TARGET, 2, REMEMBERED_UNDER, IMPORT, [FJORD, VEST])
    history.step(FINISH)
    history.event(SOURCE, 3, REMEMBERED_UNDER, FINISH, [FJORD, VEST])
    history.request("operator", "again", "republish-claim")
    spool = history.spool
    for kind, claim, version in (("started", SOURCE, 2), ("imported", TARGET, 2), ("linked", SOURCE, 3)):
        spool.add("link_events", LINK, kind, 1, claim, version, AT + 50)
    spool.add("linked_claims", SOURCE, LINK, 1)
    spool.add("tasks", SOURCE, TASK, b"facts")
    spool.add("imported_tasks", LINK, TASK, COPY, b"facts")
    spool.add("reports", SOURCE, REPORT, b"files")
    spool.add("imported_reports", LINK, REPORT, b"files", TARGET, 2)
    spool.add("reports", TARGET, LATER_REPORT, b"files")
    for kind, claim, version in (("unlinked", SOURCE, 3), ("withdrawn", TARGET, 2)):
        spool.add("link_events", UNDONE, kind, 1, claim, version, AT + 50)
    spool.add("imported_tasks", UNDONE, TASK, COPY, b"facts")
    spool.add("withdrawn_tasks", UNDONE, COPY)
    spool.add("reported_there", UNDONE, LATER_REPORT, b"files")
    spool.add("returned_reports", UNDONE, LATER_REPORT, b"files", SOURCE, 3)
    spool.add("recorded_refusals", VEST, "refused", AT + 2, b"refusal")
    spool.add("counted_refusals", VEST, "refused", b"refusal")
    for number, claim in (("midlertidig 1", SOURCE), ("sk-1", TARGET)):
        spool.add("numbers", FJORD, number, claim, number.upper())
        spool.add("recorded_numbers", FJORD, number, claim)
    for reader in ReadModel:
        spool.add("readers", reader)
        spool.add("read_models", reader, SOURCE, 3, b"")
        spool.add("read_models", reader, TARGET, 2, b"")
        spool.add("read_apart", reader, TARGET, b"")
    spool.add("others", FJORD, FJORD, "claimbus.report-ready.v1", 0, 99)
    spool.add("unreadable", "requests.vest", 1, 7, "it has no ce_id", EVERYBODY)
    spool.add("letters", "permissions", "requests.vest", 1, 7)
    spool.index()
    return spool


def broken(spool: Spool) -> set[str]:
    """The invariants that do not hold."""
    tally = Tally()
    for check in checks().values():
        tally.add(check(spool))
    return set(tally.counts)


def test_a_whole_history_breaks_nothing(spool: Spool) -> None:
    assert broken(spool) == set()


BREAKS = [
    # 1, 9
    ("one-outcome", "delete from outcomes where id = 'settings'"),
    ("one-outcome", "delete from outcomes where id = 'create'"),
    ("one-outcome", "insert into outcomes select company, id, 0, 0, 90, requested_at, x'00', '', decision, 0 "
     "from outcomes where id = 'create'"),
    ("outcome-copies-agree", "delete from outcome_copies where id = 'create'"),
    ("outcome-copies-agree", "update outcome_copies set digest = x'00' where id = 'settings'"),
    ("outcome-copies-agree", "insert into outcome_copies values ('vest', 'vest', 'never', 0, 0, 90, 1000003, x'00')"),
    ("no-outcome-without-request", "delete from requests where id = 'refused'"),
    ("no-outcome-without-request", "delete from recorded_requests where id = 'create'"),
    ("nothing-passed-over", "delete from commands where id = 'create'"),
    ("nothing-passed-over", "delete from directory_entries where id = 'settings'"),
    ("nothing-passed-over", "delete from recorded_requests where id = 'refused'"),
    ("nothing-passed-over", f"delete from commands where id = '{IMPORT}'"),
    ("nothing-passed-over", "delete from letters"),
    ("nothing-passed-over", "insert into too_far values ('claims', 'claim-commands', 0, 8, 7)"),
    # 2, 10
    ("accepted-has-events", "delete from recorded_events where version = 1 and id = 'create'"),
    ("refused-without-effect", "update recorded_events set company = 'vest', id = 'refused' where id = 'register'"),
    ("events-published", "delete from events where version = 3"),
    ("events-delivered", "delete from copies where receiver = 'vest' and version = 3"),
    ("events-delivered", "update copies set digest = x'00' where receiver = 'vest' and version = 3"),
    ("nothing-for-strangers", "insert into copies select 'nord', claim, version, 0, 1, digest from events"),
    ("nothing-for-strangers", "update outcome_copies set receiver = 'nord' where id = 'create'"),
    ("nothing-for-strangers", "update others set receiver = 'vest'"),
    # 3, 4
    ("versions-in-order", "update events set off = 1000 where version = 2"),
    ("versions-in-order", "update copies set off = 1000 where version = 2 and receiver = 'vest'"),
    ("events-recorded", "update events set digest = x'00' where version = 3"),
    ("events-recorded", "insert into events values (zeroblob(16), 1, 0, 90, x'00', 0)"),
    ("outcomes-recorded", "update recorded_requests set digest = x'00' where id = 'create'"),
    # 5
    ("clocks-agree", "insert into clocks values ('directory', 1000)"),
    ("decisions-recomputed", "update requests set digest = x'00' where id = 'create'"),
    ("outcome-follows-decision", "update outcomes set code = '' where id = 'refused'"),
    ("outcome-follows-decision", "update outcomes set decision = 'never_permitted' where id = 'create'"),
    # 6
    ("claim-numbers-unique", "insert into numbers select insurer, key, zeroblob(16), number from numbers"),
    ("claim-numbers-unique", "delete from recorded_numbers where key = 'sk-1'"),
    # 7
    ("links-whole", "delete from link_events where kind = 'imported'"),
    ("links-whole", "delete from link_events where kind = 'linked'"),
    ("links-whole", "update link_events set kind = 'failed' where kind = 'started'"),
    ("links-whole", "update link_events set kind = 'unlinked' where kind = 'started'"),
    ("reports-conserved", "delete from imported_reports"),
    ("reports-conserved", "update imported_reports set files = x'00'"),
    ("reports-conserved", "update link_events set link_part = 2 where kind = 'imported'"),
    ("reports-conserved", "update linked_claims set parts = 2"),
    ("reports-conserved", "delete from returned_reports"),
    ("reports-conserved", "update returned_reports set files = x'00'"),
    ("reports-conserved", "insert into returned_reports select 'a', zeroblob(16), x'00', claim, version from events"),
    ("reports-conserved", "insert into imported_reports select 'a', zeroblob(16), x'00', claim, version from events"),
    ("tasks-conserved", f"delete from imported_tasks where link = '{LINK}'"),
    ("tasks-conserved", f"update imported_tasks set facts = x'00' where link = '{LINK}'"),
    ("tasks-conserved", "delete from withdrawn_tasks"),
    # 8
    ("read-models-agree", "update read_models set version = 2 where version = 3 and reader = 'portal'"),
    ("read-models-agree", "delete from read_models where version = 3 and reader = 'reporting'"),
    ("read-models-agree", "update read_models set version = 4 where version = 3 and reader = 'suggestions'"),
    ("read-models-agree", "insert into read_models values ('portal', zeroblob(16), 1, x'00')"),
    ("read-models-agree", "insert into read_apart values ('portal', zeroblob(16), x'00')"),
    ("refusals-counted", "delete from counted_refusals"),
    ("refusals-counted", "update counted_refusals set digest = x'00'"),
    ("refusals-counted", "delete from recorded_refusals"),
]  # fmt: skip


@pytest.mark.parametrize(("invariant", "damage"), BREAKS)
def test_damage_is_found(spool: Spool, invariant: str, damage: str) -> None:
    list(spool.query(damage))
    assert invariant in broken(spool)


def test_what_was_decided_just_after_a_change_cannot_be_known_where_clocks_were_apart(spool: Spool) -> None:
    list(spool.query("update requests set digest = x'00' where id = 'refused'"))
    list(spool.query("update directory_entries set at = (select at from requests where id = 'refused')"))
    assert broken(spool) == {"decisions-recomputed"}
    list(spool.query("insert into clocks values ('directory', 1)"))
    list(spool.query("update directory_entries set at = at - 1"))
    assert broken(spool) == set()
    list(spool.query("update directory_entries set at = at - 1"))
    assert broken(spool) == {"decisions-recomputed"}


def test_a_number_of_two_claims_is_told_with_both(spool: Spool) -> None:
    list(spool.query("update numbers set key = 'sk-1', number = 'SK-1'"))
    list(spool.query("insert into recorded_numbers select 'fjord', 'SK-1', claim from numbers"))
    ((about, sentence),) = claim_numbers_unique(spool)
    assert about == "fjord/sk-1"
    assert all(str(UUID(bytes=claim)) in sentence for claim in (SOURCE, TARGET))


def test_every_invariant_of_the_spool_is_broken_once() -> None:
    assert {invariant for invariant, _ in BREAKS} == set(checks())


UNANSWERED = ["outcomes", "outcome_copies", "recorded_requests"]
UNDER_WAY = [
    ("permissions", "delete from {} where id = 'refused'", ["commands", *UNANSWERED]),
    ("claims", "delete from {} where id = 'refused'", UNANSWERED),
    ("delivery", "delete from {}", ["copies", "outcome_copies"]),
    ("portal", "update {} set version = 1 where reader = 'portal'", ["read_models"]),
    ("reporting", "delete from {}", ["counted_refusals"]),
]


@pytest.mark.parametrize(("service", "lacking", "tables"), UNDER_WAY)
def test_what_a_service_has_not_committed_is_under_way(
    spool: Spool, service: str, lacking: str, tables: list[str]
) -> None:
    for table in tables:
        list(spool.query(lacking.format(table)))
    assert broken(spool)
    for table in ("requests", "commands", "outcomes", "events", "link_requests"):
        list(spool.query(f"update {table} set passed = passed & ~{BIT[service]}"))
    assert broken(spool) == set()


def test_what_a_topic_no_longer_keeps_is_not_expected_on_it() -> None:
    history = History()
    history.request(VEST, "create")
    history.event(SOURCE, 1, VEST, "create", [FJORD, VEST])
    for topic in ("claim-commands", "claim-events", "request-outcomes", "requests.vest", "events.vest", "events.fjord"):
        history.spool.add("kept", topic, AT + 100)
    history.spool.index()
    for table in ("outcomes", "copies", "outcome_copies"):
        list(history.spool.query(f"delete from {table}"))
    assert broken(history.spool) == set()
    list(history.spool.query("delete from recorded_events"))
    assert "accepted-has-events" in broken(history.spool)


def test_violations_are_counted_and_the_first_ones_kept() -> None:
    tally = Tally()
    tally.add(Violation("one-outcome", f"vest/{n}", "…") for n in range(MOST_KEPT + 5))
    assert len(tally.kept) == MOST_KEPT
    assert tally.counts == {"one-outcome": MOST_KEPT + 5}
