"""What a company that joined a claim later may see of it: what it was told from then on (domain rule 10). Pure."""

from collections.abc import Sequence
from uuid import UUID

from services.portal.claim_view import ClaimView, TaskView
from shared.contract.events import (
    BudgetApproved,
    ClaimAmended,
    ClaimEvent,
    ClaimUnlinked,
    ContentImported,
    TaskAssigned,
    TaskReported,
)

_NOT_TOLD_AT_FIRST = ("policy_number", "partner_reference")
"""Of what is written of a claim, the event with which a company joins does not have these."""


def as_told(view: ClaimView, told: Sequence[ClaimEvent]) -> ClaimView:
    """Leave out of a claim what none of the events tells that a company received, which joined after the first one."""
    tasks, reports, budgets = set[UUID](), set[UUID](), set[UUID]()
    amended = set[str]()
    for event in told:
        if isinstance(event, TaskAssigned):
            tasks.add(event.task.task_id)
        elif isinstance(event, TaskReported):
            tasks.add(event.task_id)
            reports.add(event.report.report_id)
        elif isinstance(event, BudgetApproved):
            tasks.add(event.task_id)
            budgets.add(event.task_id)
        elif isinstance(event, ContentImported | ClaimUnlinked):
            tasks |= {task.task_id for task in event.tasks}
            reports |= {report.report_id for task in event.tasks for report in task.reports}
        elif isinstance(event, ClaimAmended):
            amended |= event.after.model_fields_set
    kept = tuple(_as_told(task, reports, budgets) for task in view.tasks if task.task_id in tasks)
    hidden = dict.fromkeys((name for name in _NOT_TOLD_AT_FIRST if name not in amended), None)
    return view.model_copy(update={"tasks": kept, **hidden})


def _as_told(task: TaskView, reports: set[UUID], budgets: set[UUID]) -> TaskView:
    told: dict[str, object] = {"reports": tuple(report for report in task.reports if report.report_id in reports)}
    if task.budget is not None and task.task_id not in budgets:
        told |= {"budget": None, "needs_budget": False}
    return task.model_copy(update=told)
