"""Whatever is in a directory file, the answer is the directory, or line and reason; and nothing in it does anything."""

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from operations.command import app
from operations.demo.command import DIRECTORY
from operations.directory_file import read_directory_file
from operations.files import WrongFile

INSURER = "companies:\n  - id: fjord\n    name: Fjord\n    kind: insurer\n    settings: {%s}\n"
EXPLAIN = ["explain", "--insurer=fjord-forsikring", "--office=vest-voss", "--at=2026-11-24T12:00:00+01:00"]


def problems(file: Path, content: str | bytes) -> list[tuple[int, str]]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WrongFile) as refused:
        read_directory_file(file)
    return refused.value.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "directory.yaml"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "is empty, and must begin with companies:"),
        ("# only this\n", 1, "is empty"),
        (b"\xff\xfec\x00o\x00", 1, "is UTF-16; save it as UTF-8"),
        ("companies:\n  - name: Sør".encode("latin-1"), 2, "is not UTF-8: byte 0xf8; save it as UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00\x00", 1, "has the character U+0000"),
        ("companies:\n  - id: \x01", 2, "is not YAML: unacceptable character"),
        ("companies:\n\t- id: x", 2, "cannot start any token"),
        ("companies: [", 1, "is not YAML: expected the node content"),
        ("companies: []\n---\ncompanies: []", 2, "found another document"),
        ("%YAML 9.9\n---\ncompanies: []", 1, "incompatible YAML document"),
        ("%TAG ! !x\n%TAG ! !y\n---\n!a b", 2, "duplicate tag handle"),
        ("[" * 600, 1, "is nested too deeply"),
        ("- " * 600, 1, "is nested too deeply"),
        ("companies", 1, "the file: must have fields"),
        ("companies: 3", 1, "companies: must be a list, each entry after a dash"),
        ("companies: []\ncompany: []", 2, "company: there is no such field; there are companies"),
        ("companies:\n  - {id: a, name: A, kind: insurer, offices: [{id: b, nam: B}]}", 2, "there are id, name"),
        ("companies:\n  - {id: Å, name: A, kind: partner}", 2, "companies.0.id: must be 1–63 of the characters"),
        ("companies:\n  - {id: a, name: A, kind: broker}", 2, "Input should be 'insurer', 'partner' or 'operator'"),
        ("companies:\n  - {id: a, name: [A], kind: partner}", 2, "must be a text"),
        ("companies:\n  - {id: a, name: A, kind: partner, partitions: 0}", 2, "greater than or equal to 1"),
        ("companies:\n  - {id: a, name: A, kind: partner, partitions: 13}", 2, "less than or equal to 12"),
        ("companies:\n  - {id: a, name: A, kind: partner, partitions: 'one'}", 2, "companies.0.partitions"),
        ("companies:\n  - {id: a, name: 12, kind: partner}", 2, "must be a text: write it in quotes"),
        ("companies:\n  - id: a\n    id: b", 3, "id is given twice, first in line 2"),
        ("? [a]\n: b", 1, "the name of a field must be a text"),
        ("companies: *nobody", 1, "found undefined alias 'nobody'"),
        ("companies: &all [*all]", 1, "has an alias (*) to what it is in itself"),
        ("a: &a {b: *a}\ncompanies: []", 1, "has an alias (*) to what it is in itself"),
        ("companies: !!python/object/apply:os.system [x]", 1, "the tag !!python/object/apply:os.system cannot stand"),
        ("companies: !company []", 1, "the tag !company cannot stand here"),
        ("companies: !!int x", 1, "x is not a plain int: write it in quotes"),
        ("companies: " + "9" * 5_000, 1, "is not a plain int: write it in quotes"),
        ('companies: "\\ud83d"', 1, "has half a character"),
        ("<<: 3\ncompanies: []", 1, "<< takes a mapping"),
        (INSURER % "closed_days: [2027-02-29]", 5, "closed_days.0: must be a date as YYYY-MM-DD"),
        (INSURER % "closed_days: [20270228]", 5, "closed_days.0: must be a date as YYYY-MM-DD"),
        (INSURER % "special_hours: {2027-13-01: null}", 5, "special_hours.2027-13-01"),
        (INSURER % "closed_days: 2027-02-28", 5, "closed_days: must be a list"),
        (INSURER % "office_hours: {mon: {opens: 0800, closes: 16:00}}", 5, "mon.opens: must be a text"),
        (INSURER % "office_hours: {mon: {opens: 08:00, closes: 25:00}}", 5, "mon.closes"),
        (INSURER % "office_hours: {monday: null}", 5, "monday"),
        (INSURER % "country: no", 5, "country"),
        (INSURER % "country: false", 5, "country: must be a text: write it in quotes"),
        ("%YAML 1.1\n---\n" + INSURER % "country: NO", 7, "country: must be a text: write it in quotes"),
        (INSURER % "enhanced_function: 1", 5, "enhanced_function: must be true or false"),
        (INSURER % "unlink_days: .nan", 5, "unlink_days"),
        (INSURER % "time_zone: Europe/Olso", 5, "is not an IANA time zone such as Europe/Oslo"),
        (INSURER % "colour: red", 5, "there is no setting colour; there are time_zone, country"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_may_stand_there(
    file: Path, content: str | bytes, line: int, reason: str
) -> None:
    found = problems(file, content)
    assert any(at == line and reason in problem for at, problem in found), found


def test_a_file_that_is_none_is_told_as_such(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file"), (Path("a\0b"), "null")):
        with pytest.raises(WrongFile, match=f"cannot be read: .*{reason}"):
            read_directory_file(path)
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(65 * 1024 * 1024)
    with pytest.raises(WrongFile, match="is larger than 64 MiB"):
        read_directory_file(large)


def test_aliases_that_multiply_are_stopped_before_they_take_the_memory(file: Path) -> None:
    tenfold = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "with those that aliases (*) repeat" in problems(file, f"a0: &a0 x\n{tenfold}companies: *a11")[0][1]


def test_what_may_stand_there_is_taken_in_quotes_or_not_with_a_mark_or_aliases_or_by_a_merge(file: Path) -> None:
    text = """
    companies:
      - &a
        id: a
        name: "NO"
        kind: insurer
        settings: &usual
          country: NO
          closed_days: [2027-02-28, "2027-03-01"]
          special_hours: {2026-12-24: {opens: 08:00, closes: "12:00"}}
          office_hours: {mon: &hours {opens: 09:00, closes: 15:00}, tue: *hours, sun: ~}
      - <<: *a
        id: b
        name: on
        settings: {<<: *usual, unlink_days: 3}
    """
    file.write_bytes(b"\xef\xbb\xbf" + textwrap.dedent(text).replace("\n", "\r\n").encode())
    first, second = read_directory_file(file).companies
    request = first.settings_request()
    assert request is not None
    assert request.country == "NO"
    assert [str(day) for day in request.closed_days or ()] == ["2027-02-28", "2027-03-01"]
    assert [str(day) for day in request.special_hours or ()] == ["2026-12-24"]
    assert (second.id, second.name, second.kind) == ("b", "on", "insurer")
    assert second.settings == {**(first.settings or {}), "unlink_days": 3}


_GOOD = DIRECTORY.read_bytes()
_PIECES = st.sampled_from(
    (
        *(b"2027-02-29", b"NO", b"on", b"08:00", b"0o17", b"~", b".nan", b"!!python/name:x", b"&a", b"*a", b"<<: *a"),
        *(b"\t", b"\n---\n", b": ", b"- ", b"{", b"}", b"[", b"]", b'"', b"'", b"|\n", b"#", b"%", b"? ", b"\\ud83d"),
        *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe5", b"\xed\xa0\xbd", b"\r", b"\xe2\x80\xa8", b"9" * 5_000),
    )
) | st.binary(max_size=8)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The demo's directory file with pieces put in, taken out and moved."""
    content = _GOOD
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        upto = draw(st.integers(at, min(len(content), at + 40)))
        piece = draw(_PIECES | st.builds(lambda begin: _GOOD[begin : begin + 60], st.integers(0, len(_GOOD))))
        content = content[:at] + piece + content[upto:]
    return content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=mutated() | st.binary(max_size=200))
def test_whatever_a_directory_file_has_in_it_the_command_answers_with_a_line_or_does_it(
    file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    done = CliRunner().invoke(app, [*EXPLAIN, f"--directory={file}", "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if done.exit_code == 0:
        assert "allowed" in json.loads(done.stdout)
    else:
        assert done.exit_code == 1
        assert all(
            re.match(rf"{re.escape(str(file))}:(\d+: |.and \d+ more)", line) for line in done.stderr.splitlines()
        )


def test_a_problem_is_one_line_also_of_a_name_that_has_a_line_separator(file: Path) -> None:
    file.write_bytes(_GOOD.replace(b"enhanced_function", b"e\xe2\x80\xa8nhanced_function", 1))  # some see a line there
    done = CliRunner().invoke(app, [*EXPLAIN, f"--directory={file}"])
    assert done.stderr.splitlines()[0].startswith(f"{file}:9: there is no setting e\\u2028nhanced_function; there are ")


REFUSED_BY: dict[str, Callable[[Path], list[str]]] = {
    "apply": lambda file: ["apply", str(file), "--connection-file=/nowhere"],
    "explain": lambda file: [*EXPLAIN, f"--directory={file}"],
    "up": lambda file: ["up", f"--directory={file}", "--data=/dev/null/nowhere"],
}


@pytest.mark.parametrize("command", REFUSED_BY)
def test_every_command_that_takes_a_directory_file_refuses_a_wrong_one(command: str, file: Path) -> None:
    file.write_text(INSURER % "closed_days: [2027-02-29]")
    done = CliRunner().invoke(app, REFUSED_BY[command](file))
    assert done.exit_code == 1
    assert f"{file}:5: companies.0.settings.closed_days.0: must be a date as YYYY-MM-DD" in done.stderr
