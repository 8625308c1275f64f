"""The invariants that are looked for in a spool, each with a function of its own.

What a reader's committed offset is behind (`passed`) has been dealt with, so what follows from it must be there. All
else is under way, and nothing is expected of it. What is older than a topic keeps is not expected on it (`kept`).
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from shared.audit.spool import Spool
from shared.audit.violations import invariant
from shared.contract.linking import REMEMBERED_UNDER
from shared.contract.requests import RepublishClaim
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    EVENTS,
    LINK_REQUESTS,
    REQUEST_OUTCOMES,
    REQUESTS,
    SERVICES,
    ReadModel,
)

Found = Iterator[tuple[str, str]]

_CLOCKS_APART_MS = 1000

BIT = {service: 1 << number for number, service in enumerate(SERVICES)}
"""Which bit of `passed` says that a service's committed offset is behind a record."""


def passed_by(*services: str) -> int:
    """Write a record's `passed`: whose committed offsets are behind it."""
    return sum(BIT[service] for service in set(services))


def claim_of(id: bytes) -> str:
    """Write a claim's id as people know it."""
    return str(UUID(bytes=id))


def _version(claim: bytes, version: int) -> str:
    return f"{claim_of(claim)}/{version}"


def _place(topic: str, part: int, off: int) -> str:
    return f"{topic}/{part}/{off}"


def _put_aside(spool: Spool, service: str, topic: str, part: int, off: int) -> bool:
    sql = "select count(*) from letters where topic = :topic and part = :part and off = :off and service = :service"
    return bool(spool.count(sql, {"topic": topic, "part": part, "off": off, "service": service}))


def _before_its_redaction(table: str, row: str, where: str = "") -> str:
    """Write the condition that a row was appended before its claim was redacted, and so is not as the record has it."""
    return f"""exists (select 1 from redactions r where r.claim = {row}.claim and {row}.version < r.version
        and not exists (select 1 from {table} q where q.claim = r.claim and q.version = r.version
            and q.part = {row}.part and q.off < {row}.off {where}))"""  # noqa: S608 - our own names


def _rows(spool: Spool, sql: str, **values: Any) -> Iterator[tuple[Any, ...]]:
    """Read rows; `:claims` and the like in SQL are the services' bits of `passed`, and `since` is about `kept`."""
    yield from spool.query(sql, BIT | values)


@invariant("one-outcome", "A request id of a company that was dealt with has exactly one outcome.")
def one_outcome(spool: Spool) -> Found:
    """Of what `claims` has passed on claim-commands, and of what `directory` has."""
    for company, id, part, off in _rows(
        spool,
        """select company, id, part, min(off) from commands c
        where not step and passed & :claims and requested_at >= since('request-outcomes')
        and not exists
            (select 1 from outcomes o where o.company = c.company and o.id = c.id and not o.directory)
        group by company, id""",
    ):
        if not _put_aside(spool, "claims", CLAIM_COMMANDS.name, part, off):
            yield f"{company}/{id}", "it has no outcome on request-outcomes"
    for company, id in _rows(
        spool,
        """select distinct r.company, r.id from requests r join directory_entries d using (company, id)
        where r.passed & :permissions and r.at >= since('request-outcomes') and not exists
            (select 1 from outcomes o where o.company = r.company and o.id = r.id and o.directory)""",
    ):
        yield f"{company}/{id}", "directory remembers it, and it has no outcome on request-outcomes"
    for company, id, different in _rows(
        spool,
        """select company, id, count(distinct digest) from outcomes group by company, id, directory
        having count(distinct digest) > 1""",
    ):
        yield f"{company}/{id}", f"it has {different} different outcomes on request-outcomes"


@invariant("outcome-copies-agree", "An outcome reaches the company that asked, byte for byte as it was given.")
def outcome_copies_agree(spool: Spool) -> Found:
    """Of what `delivery` has passed on request-outcomes; what it put aside had no topic to go to."""
    for company, id, part, off in _rows(
        spool,
        """select company, id, part, min(off) from outcomes o
        where passed & :delivery and requested_at >= since('events.' || company)
        and not exists (select 1 from outcome_copies c
            where c.company = o.company and c.id = o.id and c.directory = o.directory)
        group by company, id, directory""",
    ):
        if not _put_aside(spool, "delivery", REQUEST_OUTCOMES.name, part, off):
            yield f"{company}/{id}", f"its outcome is not on {EVENTS.of(company)}"
    for company, id in _rows(
        spool,
        """select distinct company, id from outcome_copies c where receiver = company and exists
            (select 1 from outcomes o where o.company = c.company and o.id = c.id and o.directory = c.directory)
        and not exists (select 1 from outcomes o where o.company = c.company and o.id = c.id
            and o.directory = c.directory and o.digest = c.digest)""",
    ):
        yield f"{company}/{id}", f"its outcome on {EVENTS.of(company)} is another than on request-outcomes"
    for company, id in _rows(
        spool,
        """select distinct company, id from outcome_copies c where receiver = company
        and requested_at >= since('request-outcomes') and not exists
            (select 1 from outcomes o where o.company = c.company and o.id = c.id and o.directory = c.directory)""",
    ):
        yield f"{company}/{id}", f"an outcome is on {EVENTS.of(company)}, and none on request-outcomes"


@invariant("no-outcome-without-request", "Nothing is answered, and nothing happens, that was not asked for.")
def no_outcome_without_request(spool: Spool) -> Found:
    """An outcome has its request, as far back as requests are kept; an event has its request in the record."""
    for company, id in _rows(
        spool,
        """select distinct o.company, o.id from outcomes o
        where o.requested_at >= since('requests.' || o.company) and not exists
            (select 1 from requests r where r.company = o.company and r.id = o.id and r.at = o.requested_at)""",
    ):
        yield f"{company}/{id}", f"it has an outcome, and no request of that moment is on {REQUESTS.of(company)}"
    for claim, version in _rows(
        spool,
        """select claim, version from recorded_events e where not exists
            (select 1 from recorded_requests r where r.company = e.company and r.id = e.id)""",
    ):
        yield _version(claim, version), "the record does not have the request or step that led to it"


@invariant("nothing-passed-over", "No committed offset is behind a record that came to nothing and was not put aside.")
def nothing_passed_over(spool: Spool) -> Found:
    """Of `permissions` on requests, `claims` on commands, `linking` on link-requests, and what nobody can read.

    An offset behind a partition's end passes over what comes next.
    """
    for company, id, part, off in _rows(
        spool,
        """select company, id, part, off from requests r where passed & :permissions
        and at >= since('claim-commands')
        and not exists (select 1 from directory_entries d where d.company = r.company and d.id = r.id)
        and not exists (select 1 from commands c
            where c.company = r.company and c.id = r.id and c.requested_at = r.at and not r.directory)""",
    ):
        if not _put_aside(spool, "permissions", REQUESTS.of(company), part, off):
            yield f"{company}/{id}", f"permissions passed {_place(REQUESTS.of(company), part, off)} over"
    for company, id, part, off in _rows(
        spool,
        """select company, id, part, min(off) from commands c where passed & :claims and not exists
            (select 1 from recorded_requests r where r.company = c.company and r.id = c.id)
        group by company, id""",
    ):
        if not _put_aside(spool, "claims", CLAIM_COMMANDS.name, part, off):
            yield f"{company}/{id}", f"claims passed {_place(CLAIM_COMMANDS.name, part, off)} over: not in the record"
    for link, link_part, part, off in _rows(
        spool,
        """select link, link_part, part, min(off) from link_requests l
        where passed & :linking and at >= since('claim-commands') and not exists
            (select 1 from commands c where c.company = :steps and c.id in
                (l.link || '/' || l.link_part || '/import-content', l.link || '/' || l.link_part || '/give-up-import'))
        group by link, link_part""",
        steps=REMEMBERED_UNDER,
    ):
        if not _put_aside(spool, "linking", LINK_REQUESTS.name, part, off):
            yield f"{link}/{link_part}", f"linking passed {_place(LINK_REQUESTS.name, part, off)} over"
    for topic, part, off, reason in _rows(
        spool,
        """select topic, part, off, reason from unreadable u where passed and not exists
            (select 1 from letters l where l.topic = u.topic and l.part = u.part and l.off = u.off)""",
    ):
        yield _place(topic, part, off), f"its reader passed it over, and it cannot be read: {reason}"
    for service, topic, part, off, end in _rows(spool, "select service, topic, part, off, end from too_far"):
        yield _place(topic, part, off), f"{service} has committed this as what it reads next, and it ends at {end}"


@invariant("accepted-has-events", "What was accepted has its events in the record.")
def accepted_has_events(spool: Spool) -> Found:
    """All but `republish-claim` changes something. What the topics no longer keep is expected to have happened."""
    for company, id in _rows(
        spool,
        """select company, id from recorded_requests r where outcome = 'accepted' and type <> :republish
        and not exists (select 1 from recorded_events e where e.company = r.company and e.id = r.id)
        and (requested_at < since('claim-commands') or exists (select 1 from commands c
            where c.company = r.company and c.id = r.id and c.passed & :claims))""",
        republish=RepublishClaim.type(),
    ):
        yield f"{company}/{id}", "it was accepted, and the record has no event of it"


@invariant("refused-without-effect", "What was refused has no effect.")
def refused_without_effect(spool: Spool) -> Found:
    """No event of the record is of a refused request."""
    for company, id, claim, version in _rows(
        spool,
        """select r.company, r.id, e.claim, e.version from recorded_requests r
        join recorded_events e using (company, id) where r.outcome = 'refused'""",
    ):
        yield f"{company}/{id}", f"it was refused, and {_version(claim, version)} is its event"


@invariant("events-published", "Every event of the record is on claim-events.")
def events_published(spool: Spool) -> Found:
    """Of the commands that `claims` has passed."""
    for claim, version in _rows(
        spool,
        """select claim, version from recorded_events e
        where at >= since('claim-events') and exists (select 1 from commands c
            where c.company = e.company and c.id = e.id and c.passed & :claims)
        and not exists (select 1 from events p where p.claim = e.claim and p.version = e.version)""",
    ):
        yield _version(claim, version), "it is in the record and not on claim-events"


@invariant("events-recorded", "An event on claim-events is the record's, byte for byte.")
def events_recorded(spool: Spool) -> Found:
    """Of all that is kept, republished ones too; of a redacted claim what was published since."""
    for claim, version, is_recorded in _rows(
        spool,
        f"""select distinct p.claim, p.version, e.claim is not null from events p
        left join recorded_events e using (claim, version) where e.digest is not p.digest
        and not {_before_its_redaction("events", "p")}""",  # noqa: S608 - our own names
    ):
        problem = "it is another than the record's" if is_recorded else "the record does not have it"
        yield _version(claim, version), f"on claim-events, {problem}"


@invariant("outcomes-recorded", "An outcome of claims on request-outcomes is the record's, byte for byte.")
def outcomes_recorded(spool: Spool) -> Found:
    """Those of requests about the directory are remembered by `directory`."""
    for company, id, is_recorded in _rows(
        spool,
        """select distinct o.company, o.id, r.id is not null from outcomes o
        left join recorded_requests r using (company, id) where not o.directory and r.digest is not o.digest""",
    ):
        problem = "is another than the record's" if is_recorded else "is not in the record"
        yield f"{company}/{id}", f"its outcome on request-outcomes {problem}"


@invariant("events-delivered", "Each company of an event's audience has it on its topic, as it is for that company.")
def events_delivered(spool: Spool) -> Found:
    """Of what `delivery` has passed on claim-events; what it put aside had no topic to go to."""
    for receiver, claim, version, part, off in _rows(
        spool,
        """select x.receiver, x.claim, x.version, p.part, min(p.off) from expected_copies x
        join events p using (claim, version) join recorded_events e using (claim, version)
        where p.passed & :delivery and e.at >= since('events.' || x.receiver)
        and not exists (select 1 from copies c
            where c.claim = x.claim and c.version = x.version and c.receiver = x.receiver)
        group by x.receiver, x.claim, x.version""",
    ):
        if not _put_aside(spool, "delivery", CLAIM_EVENTS.name, part, off):
            yield _version(claim, version), f"it is not on {EVENTS.of(receiver)}, whose company may see it"
    for receiver, claim, version in _rows(
        spool,
        f"""select distinct c.receiver, c.claim, c.version from copies c
        join expected_copies x using (receiver, claim, version) where x.digest <> c.digest
        and not {_before_its_redaction("copies", "c", "and q.receiver = c.receiver")}""",  # noqa: S608 - our own names
    ):
        yield _version(claim, version), f"on {EVENTS.of(receiver)} it is not as it should be for that company"


@invariant("nothing-for-strangers", "Nobody receives what is not theirs.")
def nothing_for_strangers(spool: Spool) -> Found:
    """Events go to their audience, outcomes to who asked, suggestions and reports to the insurer."""
    for receiver, claim, version in _rows(
        spool,
        """select distinct receiver, claim, version from copies c where not exists (select 1 from expected_copies x
            where x.claim = c.claim and x.version = c.version and x.receiver = c.receiver)""",
    ):
        yield _version(claim, version), f"it is on {EVENTS.of(receiver)}, whose company may not see it"
    for receiver, company, id in _rows(
        spool, "select distinct receiver, company, id from outcome_copies where receiver <> company"
    ):
        yield f"{company}/{id}", f"its outcome is on {EVENTS.of(receiver)}"
    for receiver, type, part, off in _rows(
        spool, "select receiver, type, part, off from others where owner is not receiver"
    ):
        yield _place(EVENTS.of(receiver), part, off), f"{type} is not for this company"


@invariant("versions-in-order", "A claim's versions are met in their order, on claim-events and by each company.")
def versions_in_order(spool: Spool) -> Found:
    """Each is met first behind the first meeting of those before it."""

    def order(group: str, table: str, topic: str) -> str:
        return f"""select {group}, version from (
            select {group}, version, part, off, lag(part) over claim as part_before, lag(off) over claim as off_before
            from (select {group}, version, part, min(off) as off from {table} group by {group}, version)
            join recorded_events e using (claim, version) where e.at >= since({topic})
            window claim as (partition by {group} order by version)
        ) where part = part_before and off < off_before"""  # noqa: S608 - our own names

    for claim, version in _rows(spool, order("claim", "events", "'claim-events'")):
        yield _version(claim, version), "it stands before an earlier version on claim-events"
    for receiver, claim, version in _rows(spool, order("receiver, claim", "copies", "'events.' || receiver")):
        yield _version(claim, version), f"it stands before an earlier version on {EVENTS.of(receiver)}"


@invariant("clocks-agree", "What comes of a request is appended after it, by the brokers' clocks.")
def clocks_agree(spool: Spool) -> Found:
    """Of clocks that are kept by NTP no topic has so much."""
    for topic, apart in _rows(spool, "select topic, apart from clocks where apart >= :most", most=_CLOCKS_APART_MS):
        yield topic, f"something on it is {apart / 1000:.1f} s older than its request: the brokers' clocks are apart"


@invariant("decisions-recomputed", "A request is decided by its append time and the directory as of then.")
def decisions_recomputed(spool: Spool) -> Found:
    """What `permissions` passed on is what comes of deciding it again. What `directory` remembers is another matter.

    Where the brokers' clocks were apart, what `directory` has of the time just before a request may have been appended
    after it was decided; whether it was cannot be told.
    """
    apart = spool.count("select max(apart) from clocks")
    for company, id, at, code, decision in _rows(
        spool,
        """select distinct r.company, r.id, r.at, r.code, r.decision from requests r where not directory
        and not exists (select 1 from directory_entries d where d.company = r.company and d.id = r.id)
        and exists (select 1 from commands c where c.company = r.company and c.id = r.id and c.requested_at = r.at)
        and not exists (select 1 from commands c where c.company = r.company and c.id = r.id and c.requested_at = r.at
            and c.digest = r.digest)""",
    ):
        since = {"since": at - apart, "at": at}
        if apart and spool.count("select count(*) from directory_entries where at between :since and :at", since):
            continue
        yield f"{company}/{id}", f"permissions decided otherwise than {_verdict(code, decision)}, as it should have"


@invariant("outcome-follows-decision", "An outcome says what permissions decided, with the same reason.")
def outcome_follows_decision(spool: Spool) -> Found:
    """What was refused stays refused with its code, and every outcome has the decision of its creation."""
    for company, id, code, decision, outcome, outcome_decision in _rows(
        spool,
        """select distinct o.company, o.id, c.code, c.decision, o.code, o.decision from outcomes o
        join commands c on c.company = o.company and c.id = o.id and c.requested_at = o.requested_at
        where not o.directory and not c.step
        and (c.decision <> o.decision or (c.code <> '' and c.code <> o.code))
        and not exists (select 1 from commands d where d.company = o.company and d.id = o.id
            and d.requested_at = o.requested_at and d.decision = o.decision and d.code in ('', o.code))""",
    ):
        given, decided = _verdict(outcome, outcome_decision), _verdict(code, decision)
        yield f"{company}/{id}", f"its outcome is {given}, and permissions decided {decided}"


def _verdict(code: str, decision: str) -> str:
    return " ".join(filter(None, [f"refused {code}" if code else "accepted", decision and f"({decision})"]))


@invariant("claim-numbers-unique", "An insurer's claim number is one claim's, for ever.")
def claim_numbers_unique(spool: Spool) -> Found:
    """Compared without case and spaces; every number that an event tells of is kept from being used again."""
    for insurer, key, claims in _rows(
        spool,
        """select insurer, key, group_concat(distinct hex(claim)) from numbers group by insurer, key
        having count(distinct claim) > 1""",
    ):
        ids = ", ".join(str(UUID(hex=claim)) for claim in claims.split(","))
        yield f"{insurer}/{key}", f"it is the number of {ids}"
    for insurer, key, claim in _rows(
        spool,
        """select distinct n.insurer, n.key, n.claim from numbers n where not exists (select 1 from recorded_numbers r
            where r.insurer = n.insurer and r.key in (n.key, n.number) and r.claim = n.claim)""",
    ):
        yield f"{insurer}/{key}", f"it is a number of {claim_of(claim)}, and not kept from being used again"


@invariant("links-whole", "A link is all or nothing: the source is linked if, and only if, the target has its content.")
def links_whole(spool: Spool) -> Found:
    """What is between the two steps is under way; a link that failed or was taken back has left nothing."""
    for link, claim in _rows(
        spool,
        """select link, claim from link_events l where kind = 'linked' and not exists
            (select 1 from link_events t where t.link = l.link and t.kind = 'imported' and t.link_part = 1)
        and (l.at < since('claim-events') or exists
            (select 1 from events p where p.claim = l.claim and p.version = l.version))""",
    ):
        yield link, f"{claim_of(claim)} is linked, and the target has not taken its content in"
    for link, claim in _rows(
        spool,
        """select link, claim from link_events t where kind = 'imported' and link_part = 1 and not exists
            (select 1 from link_events l where l.link = t.link and l.kind = 'linked')
        and exists (select 1 from commands c where c.company = :steps and c.id = t.link || '/1/finish-link'
            and c.passed & :claims)""",
        steps=REMEMBERED_UNDER,
    ):
        yield link, f"{claim_of(claim)} has taken its content in, and the source is not linked"
    for link, claim in _rows(
        spool,
        """select distinct f.link, f.claim from link_events f join link_events t using (link)
        where f.kind = 'failed' and t.kind in ('imported', 'linked') and (t.kind = 'linked' or t.link_part = 1)""",
    ):
        yield link, f"it failed for {claim_of(claim)}, and was made all the same"
    for link, claim in _rows(
        spool,
        """select distinct u.link, u.claim from link_events u where u.kind = 'unlinked' and not exists
            (select 1 from link_events w where w.link = u.link and w.kind = 'withdrawn')""",
    ):
        yield link, f"{claim_of(claim)} is no longer linked, and the target has not given its content up"


@invariant(
    "reports-conserved",
    "What was reported on a linked claim is on the claim it was linked to, with its files, and back if that ends.",
)
def reports_conserved(spool: Spool) -> Found:
    """Of links whose parts have all been taken in; late reports are parts of their own."""
    for claim, link, report, is_imported in _rows(
        spool,
        """select l.claim, l.link, r.report, i.report is not null from linked_claims l
        join reports r on r.claim = l.claim
        left join imported_reports i on i.link = l.link and i.report = r.report
        where (i.report is null or (r.files is not i.files and l.link not in redacted_links))
        and l.parts <= (select count(distinct t.link_part) from link_events t
            where t.link = l.link and t.kind = 'imported')""",
    ):
        problem = "has other files there" if is_imported else "is not there"
        yield link, f"report {UUID(bytes=report)} of {claim_of(claim)} {problem}"
    for step, link_part in _rows(
        spool,
        """select c.link, c.link_part from (select distinct substr(id, 1, 36) as link,
            cast(substr(id, 38, instr(substr(id, 38), '/') - 1) as integer) as link_part
            from commands where step and passed & :claims and id like '%/import-content') c
        where not exists (select 1 from link_events t where t.link = c.link and
            ((t.kind = 'imported' and t.link_part = c.link_part) or t.kind = 'withdrawn'))
        and not exists (select 1 from recorded_requests r
            where r.company = :steps and r.id = c.link || '/' || c.link_part || '/give-up-import')
        and (c.link_part = 1 or c.link not in redacted_links)
        and exists (select 1 from link_events t where t.link = c.link and t.kind = 'linked')""",
        steps=REMEMBERED_UNDER,
    ):
        yield step, f"claims passed the import of part {link_part} over"
    for link, claim, parts in _rows(
        spool,
        """select link, claim, parts from linked_claims l
        where parts > (select count(distinct link_part) from link_requests r where r.link = l.link)
        and not exists (select 1 from recorded_events e where e.claim = l.claim
            and (e.at < since('link-requests') or not exists (select 1 from commands c
                where c.company = e.company and c.id = e.id and c.passed & :claims)))""",
    ):
        yield link, f"not all {parts} parts of what was reported on {claim_of(claim)} are on link-requests"
    for link, report, claim in _rows(
        spool,
        """select distinct t.link, t.report, u.claim from reported_there t
        join link_events u on u.link = t.link and u.kind = 'unlinked'
        where not exists (select 1 from returned_reports r
            where r.link = t.link and r.report = t.report and (r.files = t.files or t.link in redacted_links))""",
    ):
        yield link, f"report {UUID(bytes=report)} was not given back to {claim_of(claim)} with its files"
    for table in ("imported_reports", "returned_reports"):
        for link, report, claim in _rows(
            spool,
            f"""select link, report, claim from {table} i where not exists (select 1 from reports r
                where r.report = i.report and (r.files is i.files or i.link in redacted_links))
            and (exists (select 1 from events p where p.claim = i.claim and p.version = i.version) or exists
                (select 1 from recorded_events e where e.claim = i.claim and e.version = i.version
                    and e.at < since('claim-events')))""",  # noqa: S608 - our own names
        ):
            yield link, f"{claim_of(claim)} has report {UUID(bytes=report)}, which nobody made so"


@invariant(
    "tasks-conserved",
    "The tasks of a linked claim are on the claim that it was linked to, for as long as the link stands.",
)
def tasks_conserved(spool: Spool) -> Found:
    """Each is there as it was, and leaves it when the link is taken back."""
    for link, claim, task in _rows(
        spool,
        """select l.link, l.claim, t.task from linked_claims l join tasks t on t.claim = l.claim
        where exists (select 1 from link_events k where k.link = l.link and k.kind = 'imported' and k.link_part = 1)
        and not exists (select 1 from imported_tasks i
            where i.link = l.link and i.source_task = t.task and i.facts = t.facts)""",
    ):
        yield link, f"task {UUID(bytes=task)} of {claim_of(claim)} is not there as it was"
    for link, claim, task in _rows(
        spool,
        """select distinct i.link, w.claim, i.task from imported_tasks i
        join link_events w on w.link = i.link and w.kind = 'withdrawn'
        where not exists (select 1 from withdrawn_tasks t where t.link = i.link and t.task = i.task)""",
    ):
        yield link, f"{claim_of(claim)} has kept task {UUID(bytes=task)} of a link that was taken back"


@invariant("refusals-counted", "Reporting counts every refused creation once, as the record has it.")
def refusals_counted(spool: Spool) -> Found:
    """Of what reporting has passed on request-outcomes, or what that no longer keeps."""
    for company, id in _rows(
        spool,
        """select company, id from recorded_refusals r where exists
            (select 1 from readers where reader = 'reporting')
        and (at < since('request-outcomes') or exists (select 1 from outcomes o
            where o.company = r.company and o.id = r.id and not o.directory and o.passed & :reporting))
        and not exists (select 1 from counted_refusals c where c.company = r.company and c.id = r.id
            and c.digest = r.digest)""",
    ):
        yield f"{company}/{id}", "it was refused, and reporting does not count it as it was"
    for company, id in _rows(
        spool,
        """select company, id from counted_refusals c where not exists
            (select 1 from recorded_refusals r where r.company = c.company and r.id = c.id)""",
    ):
        yield f"{company}/{id}", "reporting counts it as refused, and the record does not have that"


@invariant("read-models-agree", "The portal, suggestions and reporting have each claim at the record's version.")
def read_models_agree(spool: Spool) -> Found:
    """Not behind what a reader has passed on claim-events, or what that no longer keeps; and never ahead."""
    for reader in ReadModel:
        for claim, version, least, last in _rows(
            spool,
            """select claim, coalesce(m.version, 0) as has, least, last from (
                select e.claim, max(e.version) as last, max(case when p.passed & :bit
                    or (p.off is null and e.at < since('claim-events')) then e.version else 0 end) as least
                from recorded_events e left join events p on p.claim = e.claim and p.version = e.version
                group by e.claim
            ) left join (select claim, version from read_models where reader = :reader) m using (claim)
            where exists (select 1 from readers where reader = :reader) and has not between least and last""",
            reader=reader,
            bit=BIT[reader],
        ):
            wanted = f"at least {least}" if version < least else f"at most {last}"
            yield claim_of(claim), f"{reader} has it at version {version}; it should be {wanted}"
        for (claim,) in _rows(
            spool,
            """select claim from (select reader, claim from read_models union select reader, claim from read_apart) m
            where reader = :reader and not exists (select 1 from recorded_events e where e.claim = m.claim)""",
            reader=reader,
        ):
            yield claim_of(claim), f"{reader} has it, and the record does not"
