"""Who may create a temporary claim for an insurer, when, and with which rights (domain rules 1–7). No I/O, no clock.

`decide_creation` is the whole answer. permissions decides by it, `claimbus explain` tells what it would decide, and the
portal shows its button by it. It asks, in this order, and the first question whose answer is no decides:

1. Is the office registered, and a partner's? (`unknown_office`) Is it the asking company's? (`not_your_office`)
2. Is the insurer registered? (`unknown_insurer`)
3. Does this installation understand everything that the insurer has set? (`settings_not_understood`)
4. May the office ever create for this insurer? The permission is *never*, which is the default, *outside office hours*
   or *always* (rule 1). Of these only the second needs the insurer's clock. (`never_permitted`)
5. If so, does this installation know the insurer's time zone? (`settings_not_understood`) Is the moment outside office
   hours? They are the hours of the weekday, or the special ones of the date; a closed day and a public holiday have
   none (rules 2 and 3; `office_hours.py`, `public_holidays.py`). (`inside_office_hours`)
6. Does the office hold the rights that the creation makes use of, and is the insurer's enhanced function on (rule 7)?
   For a claim number of its own (`may_not_define_claim_number`), and for each office that the claim or a task is
   assigned to: it must be a registered partner's (`unknown_office`), and another partner's takes the right
   (`may_not_assign_to_others`).

Each question is about the directory as it was at the moment of the request, which is the broker's append time (rule 4).
From the third on, the answer has the decision with it: the rule that decided, the local time, and the setting in force
(rule 6). Whether the request is well formed, and whether companies of its sender's kind may send it at all, is asked
before (`services/permissions/received.py`); whether a claim number is free is asked after, by claims.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from shared.contract.codes import Code
from shared.contract.fields import CreationPermission, LocalizedText
from shared.contract.outcomes import Decision, DecisionRule
from shared.domain.clock import UnknownTimeZone
from shared.domain.companies import Office, OfficePermission
from shared.domain.directory import Directory
from shared.domain.office_hours import LocalMoment, local_moment, local_time_text
from shared.domain.refusal import Refused
from shared.domain.unknown_settings import set_by_newer_version

_IN_NORWEGIAN = {
    CreationPermission.NEVER: "aldri",
    CreationPermission.OUTSIDE_OFFICE_HOURS: "utenfor normal arbeidstid",
    CreationPermission.ALWAYS: "alltid",
}
"""The words that the insurer chooses from (domain rule 1)."""
_BY_PERMISSION = {
    CreationPermission.NEVER: DecisionRule.NEVER_PERMITTED,
    CreationPermission.ALWAYS: DecisionRule.ALWAYS_PERMITTED,
}
"""The rules for which no clock is needed."""

NO_PARTNER_OFFICE = "is not a registered partner's office"


class Right(StrEnum):
    """A right of the enhanced function (domain rule 7), as `OfficePermission` names it."""

    MAY_ASSIGN_TO_OTHERS = "may_assign_to_others"
    MAY_DEFINE_CLAIM_NUMBER = "may_define_claim_number"


REFUSAL_WITHOUT: Mapping[Right, Code] = MappingProxyType(
    {
        Right.MAY_ASSIGN_TO_OTHERS: Code.MAY_NOT_ASSIGN_TO_OTHERS,
        Right.MAY_DEFINE_CLAIM_NUMBER: Code.MAY_NOT_DEFINE_CLAIM_NUMBER,
    }
)
"""The code for an office that does not hold a right."""


class SettingsNotUnderstood(Refused):
    """This installation cannot apply what the insurer has set, and so cannot decide; `problem` says why."""

    def __init__(self, problem: LocalizedText, decision: Decision) -> None:
        super().__init__(Code.SETTINGS_NOT_UNDERSTOOD, "insurer", problem.en, decision=decision)
        self.problem = problem


def decide_creation(
    directory: Directory,
    insurer: str,
    office: str,
    at: datetime,
    *,
    sender: str | None = None,
    defines_claim_number: bool = False,
    assigned_offices: Iterable[tuple[str, str]] = (),
) -> Decision:
    """Decide whether an office may create a temporary claim for an insurer at a moment; see the module for the order.

    `sender` is the company that asks; without one it is the office's own. `assigned_offices` are those that the claim
    or a task is assigned to, each after the field that names it. Raises Refused.
    """
    own = _check_office(directory, office, at, sender)
    if directory.insurer(insurer, at) is None:
        raise Refused(Code.UNKNOWN_INSURER, "insurer", "is not a registered insurer")
    decision = _decide_by_permission(directory, insurer, office, at)
    rights = rights_in_force(directory, insurer, office, at)
    if defines_claim_number and not rights.may_define_claim_number:
        code = REFUSAL_WITHOUT[Right.MAY_DEFINE_CLAIM_NUMBER]
        raise Refused(code, "claim_number", "only an office with the right may give one", decision=decision)
    for field, id in assigned_offices:
        assigned = directory.partner_office(id, at)
        if assigned is None:
            raise Refused(Code.UNKNOWN_OFFICE, field, NO_PARTNER_OFFICE, decision=decision)
        if assigned.company != own.company and not rights.may_assign_to_others:
            code = REFUSAL_WITHOUT[Right.MAY_ASSIGN_TO_OTHERS]
            raise Refused(code, field, "is another partner's office", decision=decision)
    return decision


def rights_in_force(directory: Directory, insurer: str, office: str, at: datetime) -> OfficePermission:
    """Return an office's permission with the rights that it holds: dormant ones left out (domain rule 7)."""
    permission = directory.permission(insurer, office, at)
    if directory.settings(insurer, at).enhanced_function:
        return permission
    return OfficePermission(permission.creation)


def _check_office(directory: Directory, id: str, at: datetime, sender: str | None) -> Office:
    office = directory.office(id, at)
    if office is None:
        raise Refused(Code.UNKNOWN_OFFICE, "office", "is not registered")
    if sender is not None and office.company != sender:
        raise Refused(Code.NOT_YOUR_OFFICE, "office", "belongs to another company")
    if directory.partner_office(id, at) is None:
        raise Refused(Code.UNKNOWN_OFFICE, "office", NO_PARTNER_OFFICE)
    return office


def _decide_by_permission(directory: Directory, insurer: str, office: str, at: datetime) -> Decision:
    """Decide by what the insurer has set; a time zone that is not known here matters only where a clock is needed."""
    permission = directory.permission(insurer, office, at).creation
    newer = directory.not_understood(insurer, at)
    if newer:
        problem = set_by_newer_version("; ".join(newer))
        decision = _without_a_clock(DecisionRule.SETTINGS_NOT_UNDERSTOOD, permission, at, problem)
        raise SettingsNotUnderstood(problem, decision)
    try:
        moment = local_moment(directory.settings(insurer, at), at)
    except UnknownTimeZone as unknown:
        rule = _BY_PERMISSION.get(permission, DecisionRule.SETTINGS_NOT_UNDERSTOOD)
        problem = LocalizedText(nb=unknown.nb, en=str(unknown))
        decision = _without_a_clock(rule, permission, at, problem)
        if permission is CreationPermission.OUTSIDE_OFFICE_HOURS:
            raise SettingsNotUnderstood(problem, decision) from None
    else:
        decision = _by_the_clock(permission, moment)
    if permission is CreationPermission.NEVER:
        raise Refused(Code.NEVER_PERMITTED, decision=decision)
    if permission is CreationPermission.OUTSIDE_OFFICE_HOURS and decision.inside_office_hours:
        raise Refused(Code.INSIDE_OFFICE_HOURS, decision=decision)
    return decision


def _by_the_clock(permission: CreationPermission, moment: LocalMoment) -> Decision:
    return Decision(
        rule=_BY_PERMISSION.get(permission, moment.rule),
        creation_permission=permission,
        local_time=moment.rfc9557,
        inside_office_hours=moment.inside,
        office_hours=moment.hours,
        holiday=moment.holiday,
        explanation=_explanation(moment.text(), permission, moment.warnings),
    )


def _without_a_clock(
    rule: DecisionRule, permission: CreationPermission, at: datetime, problem: LocalizedText
) -> Decision:
    """Return the decision with the time in UTC, since the insurer's clock or settings are not known here."""
    utc = at.astimezone(UTC)
    return Decision(
        rule=rule,
        creation_permission=permission,
        local_time=f"{utc.isoformat(timespec='milliseconds')}[UTC]",
        inside_office_hours=False,
        explanation=_explanation(local_time_text(utc, "UTC"), permission, [problem]),
    )


def _explanation(
    time: LocalizedText, permission: CreationPermission, warnings: Sequence[LocalizedText]
) -> LocalizedText:
    nb = f"{time.nb[0].upper()}{time.nb[1:]}, tillatelse: {_IN_NORWEGIAN[permission]}"
    en = f"{time.en}, permission {permission}"
    return LocalizedText(nb="; ".join([nb, *(w.nb for w in warnings)]), en="; ".join([en, *(w.en for w in warnings)]))
