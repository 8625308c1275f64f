"""Whether an office may create a temporary claim for an insurer, and with which rights (domain rules 1–4, 6 and 7).

Pure: the directory and the moment are given. Permissions decides with it, and the portal shows its button by it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.contract.codes import Code
from shared.contract.fields import CreationPermission, LocalizedText
from shared.contract.outcomes import Decision, DecisionRule
from shared.domain.clock import UnknownTimeZone
from shared.domain.companies import OfficePermission
from shared.domain.directory import Directory
from shared.domain.office_hours import LocalMoment, local_moment, local_time_text
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


class NotPermitted(Exception):
    """The office may not create a claim then, and which rule says so.

    The codes are `never_permitted`, `inside_office_hours` and `settings_not_understood`.
    """

    def __init__(self, code: Code, decision: Decision, problem: LocalizedText | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.decision = decision
        self.problem = problem
        """What this installation does not understand of the insurer's settings."""


def decide_creation(directory: Directory, insurer: str, office: str, at: datetime) -> Decision:
    """Decide whether an office may create a temporary claim for an insurer at a moment (domain rules 1–4 and 6).

    Raises NotPermitted; the answer says which rule decided. A time zone that this installation does not know is needed
    only where the permission asks for the office hours.
    """
    settings = directory.settings(insurer, at)
    permission = directory.permission(insurer, office, at).creation
    newer = directory.not_understood(insurer, at)
    if newer:
        problem = set_by_newer_version("; ".join(newer))
        decision = _without_a_clock(DecisionRule.SETTINGS_NOT_UNDERSTOOD, permission, at, problem)
        raise NotPermitted(Code.SETTINGS_NOT_UNDERSTOOD, decision, problem)
    try:
        moment = local_moment(settings, at)
    except UnknownTimeZone as unknown:
        rule = _BY_PERMISSION.get(permission, DecisionRule.SETTINGS_NOT_UNDERSTOOD)
        problem = LocalizedText(nb=unknown.nb, en=str(unknown))
        decision = _without_a_clock(rule, permission, at, problem)
        if permission is CreationPermission.OUTSIDE_OFFICE_HOURS:
            raise NotPermitted(Code.SETTINGS_NOT_UNDERSTOOD, decision, problem) from None
    else:
        decision = _by_the_clock(permission, moment)
    if permission is CreationPermission.NEVER:
        raise NotPermitted(Code.NEVER_PERMITTED, decision)
    if permission is CreationPermission.OUTSIDE_OFFICE_HOURS and decision.inside_office_hours:
        raise NotPermitted(Code.INSIDE_OFFICE_HOURS, decision)
    return decision


def _by_the_clock(permission: CreationPermission, moment: LocalMoment) -> Decision:
    text = moment.text()
    return Decision(
        rule=_BY_PERMISSION.get(permission, moment.rule),
        creation_permission=permission,
        local_time=moment.rfc9557,
        inside_office_hours=moment.inside,
        office_hours=moment.hours,
        holiday=moment.holiday,
        explanation=_explained(text, permission, moment.warnings),
    )


def _without_a_clock(
    rule: DecisionRule, permission: CreationPermission, at: datetime, problem: LocalizedText
) -> Decision:
    """Return how it was decided in UTC, since the insurer's clock or settings are not known here."""
    utc = at.astimezone(UTC)
    return Decision(
        rule=rule,
        creation_permission=permission,
        local_time=f"{utc.isoformat(timespec='milliseconds')}[UTC]",
        inside_office_hours=False,
        explanation=_explained(local_time_text(utc, "UTC"), permission, [problem]),
    )


def _explained(time: LocalizedText, permission: CreationPermission, warnings: Sequence[LocalizedText]) -> LocalizedText:
    nb = f"{time.nb[0].upper()}{time.nb[1:]}, tillatelse: {_IN_NORWEGIAN[permission]}"
    en = f"{time.en}, permission {permission}"
    return LocalizedText(nb="; ".join([nb, *(w.nb for w in warnings)]), en="; ".join([en, *(w.en for w in warnings)]))


def rights_in_force(directory: Directory, insurer: str, office: str, at: datetime) -> OfficePermission:
    """Return an office's permission with the rights it holds: dormant ones left out (domain rule 7)."""
    permission = directory.permission(insurer, office, at)
    if directory.settings(insurer, at).enhanced_function:
        return permission
    return OfficePermission(permission.creation)
