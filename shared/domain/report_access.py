"""Who may see the report of temporary claims (domain rule 18)."""

from shared.domain.companies import User

AUTHORISATION_LEVEL = 6


def may_see_reports(user: User | None, insurer: str) -> bool:
    """Whether a user may: one of that insurer with authorisation level 6, and nobody else.

    For everybody else there is no such page, which must look like any other address that does not exist.
    """
    return user is not None and user.company == insurer and user.authorisation_level == AUTHORISATION_LEVEL
