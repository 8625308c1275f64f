"""The directory file is read as the contract reads requests: nothing that stands in it is guessed."""

from pathlib import Path

import pytest

from operations.directory_file import DirectoryFile, read_directory_file
from operations.files import WrongFile
from tests.unit.test_contract_fields import DATES


def read(folder: Path, settings: str = "{}", user: str = "authorisation_level: 2") -> DirectoryFile:
    file = folder / "directory.yaml"
    file.write_text(
        f"companies:\n"
        f"- {{id: fjord, name: Fjord, kind: insurer, settings: {settings}}}\n"
        f"- {{id: vest, name: Vest, kind: partner, offices: null, users: [{{id: ola, name: Ola, {user}}}]}}\n",
        encoding="utf-8",
    )
    return read_directory_file(file)


@pytest.mark.parametrize("text", [*DATES, "' 2026-12-24'"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_day_is_a_year_a_month_and_a_day_and_nothing_else(tmp_path: Path, text: str, quote: str) -> None:
    if not quote and text in {"2026-02-30", "2026-13-01", "2026-00-10", "0000-01-01"}:
        return  # YAML's own dates, which it refuses itself
    written = text if text.startswith("'") else f"{quote}{text}{quote}"
    for settings in (f"{{closed_days: [{written}]}}", f"{{special_hours: {{{written}: null}}}}"):
        with pytest.raises(WrongFile, match=r"must be a date as YYYY-MM-DD|month|day is out of range|year"):
            read(tmp_path, settings)


@pytest.mark.parametrize("written", ["2026-12-24", "'2026-12-24'", '"2026-12-24"'])
def test_a_day_may_be_quoted_or_not(tmp_path: Path, written: str) -> None:
    request = read(tmp_path, f"{{closed_days: [{written}]}}").companies[0].settings_request()
    assert request is not None
    assert [day.isoformat() for day in request.closed_days or ()] == ["2026-12-24"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("{enhanced_function: yes}", "enhanced_function"),
        ("{enhanced_function: 1}", "enhanced_function"),
        ("{inspection_needs_budget: 'true'}", "inspection_needs_budget"),
        ("{unlink_days: '30'}", "unlink_days"),
        ("{unlink_days: true}", "unlink_days"),
        ("{unlink_days: 2.5}", "unlink_days"),
        ("{office_hours: {mon: {opens: 8, closes: 16}}}", "office_hours.mon.opens"),
        ("{office_hours: {mon: {opens: 8:00, closes: 16:00}}}", "office_hours.mon.opens"),
        ("{country: no}", "country"),
        ("{report_period: Weekly}", "report_period"),
        ("{time_zone: 1}", "time_zone"),
    ],
)
def test_a_setting_of_another_kind_is_refused_with_its_line(tmp_path: Path, settings: str, name: str) -> None:
    with pytest.raises(WrongFile, match=rf"directory\.yaml:2: companies\.0\.settings\.{name}: "):
        read(tmp_path, settings)


@pytest.mark.parametrize("user", ["authorisation_level: '2'", "authorisation_level: true", "authorisation_level: 2.5"])
def test_a_level_is_a_whole_number(tmp_path: Path, user: str) -> None:
    with pytest.raises(WrongFile, match=r"companies\.1\.users\.0\.authorisation_level: "):
        read(tmp_path, user=user)


def test_what_is_empty_is_as_if_it_were_left_out(tmp_path: Path) -> None:
    settings = "{subdivision: '', country: null, unlink_days: 30.0, enhanced_function: true}"
    directory = read(tmp_path, settings, "authorisation_level: 2.0, office: '', email: null")
    request = directory.companies[0].settings_request()
    assert request is not None
    assert request.model_dump(exclude_unset=True) == {"country": None, "unlink_days": 30, "enhanced_function": True}
    [user] = directory.companies[1].users
    assert (user.office, user.email, user.authorisation_level) == (None, None, 2)
