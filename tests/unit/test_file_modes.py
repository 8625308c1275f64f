"""What is stored, other users of the machine cannot read, whatever the umask of whoever started it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from operations.embedded import ChildProcess, Waiting
from operations.stack.kept import KeptFolder
from shared.storage.media_store import MediaStore

pytestmark = pytest.mark.promise("What is stored on a machine, its owner alone can read.", about="running")

WRITES = "import pathlib, sys; f = pathlib.Path(sys.argv[1]); f.mkdir(); (f / 'photo').touch()"
UMASK_OF_A_SERVICE = """
import os
from shared.runtime.process import run
try:
    run("that there is not")
except ModuleNotFoundError:
    print(oct(os.umask(0)))
"""


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, str]]:
    """Which modes the folders, and the files, have."""
    found = [path.stat().st_mode for path in (folder, *folder.rglob("*"))]
    return {(stat.S_ISDIR(mode), oct(stat.S_IMODE(mode))) for mode in found}


def test_what_a_server_or_service_of_the_embedded_stack_writes_its_user_alone_can_read(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES, str(tmp_path / "stored")]
    ChildProcess(command, log=tmp_path / "log").run(Waiting(), "a file")
    assert modes(tmp_path / "stored") == {(True, "0o700"), (False, "0o600")}


def test_what_a_service_writes_wherever_it_runs_its_user_alone_can_read() -> None:
    done = subprocess.run([sys.executable, "-c", UMASK_OF_A_SERVICE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0o77"]


def test_the_folder_of_a_stack_is_its_owner_s_and_media_of_an_earlier_version_too(tmp_path: Path) -> None:
    (tmp_path / "old" / "media").mkdir(parents=True)
    for name in ("old", "new"):
        kept = KeptFolder(tmp_path / name)
        kept.open()
        assert modes(kept.media) == {(True, "0o700")}
        kept.close()
    assert modes(tmp_path / "new") == {(True, "0o700"), (False, "0o600")}


def test_a_new_folder_of_media_is_its_owner_s(tmp_path: Path) -> None:
    MediaStore.at((tmp_path / "media").as_uri())
    assert stat.S_IMODE((tmp_path / "media").stat().st_mode) == 0o700
