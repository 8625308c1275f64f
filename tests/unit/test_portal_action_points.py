"""What the banner of a temporary claim tells, by who looks (domain rules 11 and 13)."""

from itertools import product
from uuid import uuid4

from services.portal.claim_view import LinkView, ReportView, State, TaskView, apply
from services.portal.pages.claim import action_points, may, reportable
from services.portal.viewer import Viewer
from shared.contract.fields import Actor, CompanyKind, LocalizedText, TaskKind
from shared.domain.companies import Company, User
from tests.builders.events import created
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import FJORD, NORD, VEST, VEST_BERGEN

FAILED = LocalizedText(nb="Nei", en="No")


def viewer(company: str, kind: CompanyKind) -> Viewer:
    """A user of a company."""
    user = User(id="u", company=company, name="U", office=None, email=None, authorisation_level=1)
    return Viewer(user, Company(company, company, kind), "Europe/Oslo")


VIEWERS = [
    viewer(FJORD, CompanyKind.INSURER),
    *(viewer(partner, CompanyKind.PARTNER) for partner in (VEST, NORD)),
]


def task(company: str, *, needs_budget: bool, approved: bool, finished: bool) -> TaskView:
    """A task of an office of the company."""
    report = ReportView(
        report_id=uuid4(), text="x", finished=finished, at=TUESDAY_EVENING, actor=Actor(company=company)
    )
    return TaskView(
        task_id=uuid4(),
        kind=TaskKind.INSPECTION,
        office=VEST_BERGEN,
        company=company,
        needs_budget=needs_budget,
        assigned_at=TUESDAY_EVENING,
        budget="1 NOK" if approved else None,
        reports=(report,) if finished else (),
    )


def test_every_open_task_is_a_point_for_whose_it_is_and_for_nobody_else() -> None:
    tasks = tuple(
        task(company, needs_budget=needs, approved=approved, finished=finished)
        for company, needs, approved, finished in product((VEST, NORD), (True, False), (True, False), (True, False))
    )
    links = (None, LinkView(target_claim_id=uuid4()), LinkView(target_claim_id=uuid4(), failed=FAILED))
    for looks, state, link in product(VIEWERS, State, links):
        claim = apply(None, created(uuid4())).model_copy(update={"tasks": tasks, "state": state, "link": link})
        points = action_points(looks, claim)
        open_tasks = [each for each in tasks if not each.finished]
        approves = may(looks, claim).approve_budget
        assert list(points.budgets_to_approve) == [each for each in open_tasks if approves and each.waits_for_budget]
        assert list(points.tasks_to_report) == [each for each in open_tasks if reportable(looks, claim, each)]
        assert {each.company for each in points.tasks_without_budget} <= {looks.company.id}
        if looks.is_insurer and state is State.TEMPORARY:
            assert len(points.budgets_to_approve) == 2
        if looks.company.id == VEST and state is State.TEMPORARY:
            assert (len(points.tasks_to_report), len(points.tasks_without_budget)) == (3, 1)
            assert not points.budgets_to_approve
