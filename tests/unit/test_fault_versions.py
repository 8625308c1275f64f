"""Instances of an older version beside those of this one, while faults are provoked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.random_faults.version import OLD_VERSION, STARTED, NoOldVersion, OldVersion

REPOSITORY = Path(__file__).parents[2]
CRASHING = Path("tests", "random_faults", "crashing.py")


def git(repository: Path, *words: str) -> None:
    about = ["-c", "user.name=A", "-c", "user.email=a@example.no", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *about, *words], cwd=repository, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits, the first from before there were random faults, with other code since."""
    repository = tmp_path / "repository"
    (repository / CRASHING).parent.mkdir(parents=True)
    git(repository, "init", "--quiet")
    for package in CRASHING.parents[:-1]:
        (repository / package / "__init__.py").touch()
    git(repository, "add", ".")
    git(repository, "commit", "--message", "Begin")
    git(repository, "tag", "before")
    (repository / CRASHING).write_text("import os; print('old', os.environ['CLAIMBUS_USERNAME'])")
    git(repository, "add", ".")
    git(repository, "commit", "--message", "Try random faults")
    git(repository, "tag", "old")
    (repository / CRASHING).write_text("print('uncommitted')")
    return repository


def started(service: str, old: OldVersion) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.random_faults.version"],
        env=os.environ | {OLD_VERSION: str(old.folder), "CLAIMBUS_USERNAME": service, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_service_runs_the_version_that_it_is_to_run_from_its_next_start_on(tmp_path: Path, repository: Path) -> None:
    old = OldVersion(tmp_path / "old", repository)
    old.take("old")
    old.run_by("claims", is_old=True)
    assert [old.runs(service) for service in ("claims", "portal")] == [True, False]
    done = started("claims", old)
    assert done.stdout == "old claims\n"
    assert STARTED in done.stderr
    old.run_by("claims", is_old=False)
    done = started("claims", old)
    assert "old" not in done.stdout
    assert "CLAIMBUS_TESTS_CRASHING_WHILE" in done.stderr  # which this version wants to have named
    assert STARTED not in done.stderr


@pytest.mark.parametrize(("ref", "why"), [("nowhere", "there is no nowhere"), ("before", "older than random faults")])
def test_a_version_that_cannot_be_run_is_named(tmp_path: Path, repository: Path, ref: str, why: str) -> None:
    with pytest.raises(NoOldVersion, match=why):
        OldVersion(tmp_path / "old", repository).take(ref)
