"""Who may see reports (domain rule 18)."""

import pytest

from shared.domain.companies import User
from shared.domain.report_access import may_see_reports

INSURER, OTHER = "fjord-forsikring", "nordlys-forsikring"


def user(company: str, level: int) -> User:
    return User("kari", company, "Kari", None, None, level)


def test_a_user_of_the_insurer_with_level_6_may_see_its_reports() -> None:
    assert may_see_reports(user(INSURER, 6), INSURER)


@pytest.mark.parametrize("level", range(1, 6))
def test_a_user_of_the_insurer_with_a_lower_level_may_not(level: int) -> None:
    assert not may_see_reports(user(INSURER, level), INSURER)


@pytest.mark.parametrize("company", [OTHER, "vest-skadeservice", "operator"])
@pytest.mark.parametrize("level", range(1, 7))
def test_nobody_of_another_company_may_whatever_the_level(company: str, level: int) -> None:
    assert not may_see_reports(user(company, level), INSURER)


def test_somebody_unknown_may_not() -> None:
    assert not may_see_reports(None, INSURER)
