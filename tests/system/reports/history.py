"""Three months of claims, drawn at random, as a plain list; the messages that tell of them; and what reports must say.

The answer is counted from the list, by the local dates of its moments, and shares no code with the service.
"""

import random
import statistics
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.contract import events as e
from shared.contract.codes import Code
from shared.contract.fields import Cause, Incident
from shared.contract.outcomes import RequestRefused
from tests.builders import outcomes
from tests.builders.content import incident, policyholder
from tests.builders.events import about, converted, created, task

OSLO, ST_JOHNS = "Europe/Oslo", "America/St_Johns"
WEEKLY, MONTHLY, CHANGING = "ukentlig-forsikring", "maanedlig-forsikring", "skiftende-forsikring"
ZONES = {WEEKLY: OSLO, MONTHLY: ST_JOHNS, CHANGING: OSLO}
PARTNERS = ("vest-skadeservice", "nord-ror")
OFFICES = {f"{partner}-{n}": partner for partner in PARTNERS for n in range(1, 5)}

REGISTERED = datetime(2025, 9, 3, 9, 30, tzinfo=UTC)
"""A Wednesday: the first period of each insurer is short."""
CHANGED = datetime(2025, 10, 8, 12, tzinfo=UTC)
"""When the changing insurer went from weeks to months; weeks go on until the Monday after."""
LAST_WEEK_ENDED = date(2025, 10, 13)
END = datetime(2025, 11, 30, 23, tzinfo=UTC)
"""Midnight after a Sunday and a month, in Oslo."""

Json = dict[str, Any]


@dataclass
class Plan:
    """What happened to one claim, in order."""

    id: uuid.UUID
    insurer: str
    office: str
    cause: Cause
    inside: bool
    created: datetime
    tasks: list[uuid.UUID]
    changes: list[tuple[datetime, str, Any]] = field(default_factory=list)
    """The moment; amended, assigned, reported, converted, linked, unlinked, cancelled, budget, failed; the subject."""


@dataclass
class RefusedCreation:
    """A creation request that was refused; some name no insurer that there is."""

    company: str
    id: str
    insurer: str | None
    at: datetime
    code: Code


def draw(claims: int, refused: int, seed: int) -> tuple[list[Plan], list[RefusedCreation]]:
    """Draw a history."""
    dice = random.Random(seed)
    plans = [_plan(dice, n) for n in range(claims)]
    codes = [Code.INSIDE_OFFICE_HOURS, Code.NEVER_PERMITTED, Code.INVALID_REQUEST, Code.CLAIM_NUMBER_TAKEN]
    return plans, [
        RefusedCreation(
            dice.choice(PARTNERS),
            f"r-{n}",
            dice.choice([*ZONES, None]),
            _moment(dice, REGISTERED, END),
            dice.choice(codes),
        )
        for n in range(refused)
    ]


def _moment(dice: random.Random, begins: datetime, ends: datetime) -> datetime:
    """Draw a moment with the milliseconds of an append time; some at the very edges of local days."""
    at = begins + timedelta(milliseconds=dice.randrange(int((ends - begins) / timedelta(milliseconds=1))))
    if dice.random() < 0.1:
        midnight = datetime.combine(at.date(), datetime.min.time(), ZoneInfo(dice.choice([OSLO, ST_JOHNS])))
        edge = midnight.astimezone(UTC) - timedelta(milliseconds=dice.choice([0, 1]))
        return edge if begins <= edge < ends else at
    return at


def _plan(dice: random.Random, n: int) -> Plan:
    plan = Plan(
        id=uuid.uuid5(uuid.NAMESPACE_URL, f"claim-{n}"),
        insurer=dice.choice(list(ZONES)),
        office=dice.choice(list(OFFICES)),
        cause=dice.choice(list(Cause)),
        inside=dice.random() < 0.3,
        created=_moment(dice, REGISTERED, END),
        tasks=[uuid.uuid5(uuid.NAMESPACE_URL, f"task-{n}-{k}") for k in range(dice.randrange(3))],
    )
    at, state, tasks = plan.created, "temporary", list(plan.tasks)
    for k in range(dice.randrange(7)):
        at = at + timedelta(milliseconds=round(dice.expovariate(1 / (4 * 86_400_000))) + 1)
        if at >= END:
            break
        what = _what(dice, state, tasks)
        about: Any = None
        if what == "assigned":
            about = uuid.uuid5(uuid.NAMESPACE_URL, f"later-{n}-{k}")
            tasks.append(about)
        elif what == "reported":
            about = dice.choice(tasks)
        elif what == "amended":
            about = dice.choice([*Cause, None])
        plan.changes.append((at, what, about))
        state = _BECOMES.get(what, state)
    return plan


_BECOMES = {"converted": "normal", "linked": "linked", "cancelled": "over", "unlinked": "temporary"}


def _what(dice: random.Random, state: str, tasks: list[uuid.UUID]) -> str:
    """Draw what happens next; a claim goes on being worked on after it is normal or linked."""
    if state == "linked" and dice.random() < 0.5:
        return "unlinked"
    ends = {"temporary": ["converted", "converted", "linked", "linked", "cancelled"], "normal": ["cancelled"]}
    if dice.random() < 0.5 and state in ends:
        return dice.choice(ends[state])
    return dice.choice(["amended", "assigned", "budget", "failed", *(["reported"] * 3 if tasks else [])])


# The messages


def _incident(cause: Cause) -> Incident:
    return incident(day=date(2025, 9, 1), cause=cause)


def events_of(plan: Plan) -> Iterator[e.ClaimEvent]:
    """The claim's events, as claims publishes them."""
    target = uuid.uuid5(uuid.NAMESPACE_URL, "target")
    partner = OFFICES[plan.office]
    for version, (at, what, subject) in enumerate([(plan.created, "created", None), *plan.changes], start=1):
        who: Json = {"version": version, "insurer": plan.insurer, "company": partner, "at": at}
        says = about(plan.id, **who)
        link: Json = {"link_id": plan.id, "target_claim_id": target}
        if what == "created":
            yield created(
                plan.id,
                **who,
                number=f"Midlertidig {plan.id}",
                office=plan.office,
                written=e.ClaimContent(incident=_incident(plan.cause), policyholder=policyholder()),
                tasks=[_task(task, plan) for task in plan.tasks],
                inside_office_hours=plan.inside,
                time_zone=ZONES[plan.insurer],
            )
        elif what == "amended":
            before = e.ClaimContent(incident=_incident(Cause.OTHER), policy_number="1")
            after = e.ClaimContent(policy_number="2", incident=None if subject is None else _incident(subject))
            yield e.ClaimAmended(**says, before=before, after=after)
        elif what == "assigned":
            yield e.TaskAssigned(
                **says,
                task=_task(subject, plan),
                claim_number="1",
                incident=_incident(plan.cause),
                policyholder=policyholder(),
            )
        elif what == "reported":
            yield e.TaskReported(**says, task_id=subject, report=e.Report(report_id=uuid.uuid4(), text="Tørket."))
        elif what == "converted":
            yield converted(plan.id, **who)
        elif what == "linked":
            yield e.ClaimLinked(**says, **link)
        elif what == "unlinked":
            yield e.ClaimUnlinked(**says, **link, tasks=[])
        elif what == "cancelled":
            yield e.ClaimCancelled(**says)
        elif what == "budget":
            yield e.BudgetApproved(**says, task_id=target, amount="1", currency="NOK")
        elif what == "failed":
            yield e.LinkFailed(**says, **link, reason="target_not_linkable")


def _task(id: uuid.UUID, plan: Plan) -> e.Task:
    return task(id=id, office=plan.office, company=OFFICES[plan.office])


def outcome_of(refused: RefusedCreation) -> RequestRefused:
    """The outcome of a refused request, as claims publishes it."""
    return outcomes.refused(refused.company, refused.id, refused.code, at=refused.at, insurer=refused.insurer)


# What the reports must have


def period_of(insurer: str, at: datetime) -> str:
    """The period that a moment is in, by the calendar."""
    day = at.astimezone(ZoneInfo(ZONES[insurer])).date()
    weekly = insurer == WEEKLY or (insurer == CHANGING and day < LAST_WEEK_ENDED)
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}" if weekly else f"{day.year}-{day.month:02}"


def periods_of(insurer: str) -> list[str]:
    """An insurer's periods, in order, to the end of the history."""
    days = ((REGISTERED + timedelta(hours=n)) for n in range(int((END - REGISTERED) / timedelta(hours=1))))
    return list(dict.fromkeys(period_of(insurer, day) for day in days))


def expected_reports(plans: list[Plan], refused: list[RefusedCreation], insurer: str) -> dict[str, Json]:
    """Count what each report of an insurer must say, in its JSON, without when it is from, to and closed."""
    order = {label: n for n, label in enumerate(periods_of(insurer))}
    mine = [plan for plan in plans if plan.insurer == insurer]
    return {
        label: _expected_report(
            label, order, mine, [r for r in refused if r.insurer == insurer and period_of(insurer, r.at) == label]
        )
        for label in order
    }


def _expected_report(label: str, order: dict[str, int], plans: list[Plan], refused: list[RefusedCreation]) -> Json:
    now = order[label]
    created: list[Plan] = []
    causes: Counter[str] = Counter()
    ended: dict[str, list[float]] = {"converted": [], "linked": [], "cancelled": []}
    waiting = assigned = reported = 0
    for plan in plans:
        begun = order[period_of(plan.insurer, plan.created)]
        if begun > now:
            continue
        cause, state, state_at, state_in = plan.cause, "temporary", plan.created, begun
        unreported = set(plan.tasks)
        if begun == now:
            created.append(plan)
            assigned += len(plan.tasks)
        for at, what, subject in plan.changes:
            then = order[period_of(plan.insurer, at)]
            if then > now:
                break
            if state == "temporary":
                if what == "amended":
                    cause = subject or cause
                if what == "assigned":
                    unreported.add(subject)
                    assigned += then == now
                if what == "reported" and subject in unreported:
                    unreported.remove(subject)
                    reported += then == now
            if (state == "temporary" and what in ended) or (state == "linked" and what == "unlinked"):
                state, state_at, state_in = ("temporary" if what == "unlinked" else what), at, then
        if begun == now:
            causes[cause.value] += 1
        if state == "temporary":
            waiting += 1
        elif state_in == now:
            ended[state].append((state_at - plan.created).total_seconds())
    inside = sum(plan.inside for plan in created)
    codes = Counter(r.code.value for r in refused)
    return {
        "created": {
            "total": len(created),
            "inside_office_hours": inside,
            "outside_office_hours": len(created) - inside,
            "by_office": dict(Counter(plan.office for plan in created)),
            "by_cause": dict(causes),
        },
        "refused": {"total": len(refused), "by_code": dict(codes)},
        **{how: len(seconds) for how, seconds in ended.items()},
        "waiting": waiting,
        "time_to_converted": _times(ended["converted"]),
        "time_to_linked": _times(ended["linked"]),
        "tasks": {"assigned": assigned, "reported": reported},
    }


def _times(seconds: list[float]) -> Json:
    if not seconds:
        return {"median_s": None, "p90_s": None}
    tenths = statistics.quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else seconds * 9
    # Reports have milliseconds; in which direction a half is rounded is nobody's concern.
    return {
        "median_s": pytest.approx(statistics.median(seconds), abs=0.000_51),
        "p90_s": pytest.approx(tenths[8], abs=0.000_51),
    }
