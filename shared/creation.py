"""Whether an office may create a temporary claim for an insurer, and with which rights (domain rules 1–4, 6 and 7).

Pure: the directory and the moment are given. Permissions decides with it, and the portal shows its button by it.
"""

from datetime import datetime

from shared.contract.codes import Code
from shared.contract.fields import CreationPermission, LocalizedText
from shared.contract.outcomes import Decision, DecisionRule
from shared.directory import Directory, OfficePermission
from shared.office_hours import local_moment

_IN_NORWEGIAN = {
    CreationPermission.NEVER: "aldri",
    CreationPermission.OUTSIDE_OFFICE_HOURS: "utenfor normal arbeidstid",
    CreationPermission.ALWAYS: "alltid",
}
"""The words that the insurer chooses from (domain rule 1)."""


class NotPermitted(Exception):
    """The office may not create a claim then (`never_permitted`, `inside_office_hours`), and which rule says so."""

    def __init__(self, code: Code, decision: Decision) -> None:
        super().__init__(code)
        self.code = code
        self.decision = decision


def decide_creation(directory: Directory, insurer: str, office: str, at: datetime) -> Decision:
    """Decide whether an office may create a temporary claim for an insurer at a moment (domain rules 1–4 and 6).

    Raises NotPermitted; the answer says which rule decided.
    """
    settings = directory.settings(insurer, at)
    permission = directory.permission(insurer, office, at).creation
    moment = local_moment(settings, at)
    rule = {
        CreationPermission.NEVER: DecisionRule.NEVER_PERMITTED,
        CreationPermission.ALWAYS: DecisionRule.ALWAYS_PERMITTED,
        CreationPermission.OUTSIDE_OFFICE_HOURS: moment.rule,
    }[permission]
    said = moment.said()
    decision = Decision(
        rule=rule,
        creation_permission=permission,
        local_time=moment.rfc9557,
        inside_office_hours=moment.inside,
        office_hours=moment.hours,
        holiday=moment.holiday,
        explanation=LocalizedText(
            nb=f"{said.nb[0].upper()}{said.nb[1:]}, tillatelse: {_IN_NORWEGIAN[permission]}",
            en=f"{said.en}, permission {permission}",
        ),
    )
    if permission is CreationPermission.NEVER:
        raise NotPermitted(Code.NEVER_PERMITTED, decision)
    if permission is CreationPermission.OUTSIDE_OFFICE_HOURS and moment.inside:
        raise NotPermitted(Code.INSIDE_OFFICE_HOURS, decision)
    return decision


def rights_in_force(directory: Directory, insurer: str, office: str, at: datetime) -> OfficePermission:
    """Tell an office's permission with the rights it holds: dormant ones left out (domain rule 7)."""
    permission = directory.permission(insurer, office, at)
    if directory.settings(insurer, at).enhanced_function:
        return permission
    return OfficePermission(permission.creation)
