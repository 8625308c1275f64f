"""Instances of this version and of an older one side by side.

`python -m tests.random_faults.version` runs the service that `CLAIMBUS_USERNAME` names as `crashing.py` does, in the
version that `OldVersion` says. Both have the libraries that are installed here.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

OLD_VERSION = "CLAIMBUS_TESTS_OLD_VERSION"
_RUN_BY = Path("tests", "random_faults", "crashing.py")
STARTED = "an instance of the old version was started"


class NoOldVersion(Exception):
    """There is no older version to run; the message says why."""


class OldVersion:
    """An older version's code in a folder, and which services are to run it when they are started next."""

    def __init__(self, folder: Path, repository: Path = Path(__file__).parents[2]) -> None:
        self.folder = folder
        self._repository = repository
        self._code = folder / "code"
        self._services = folder / "services"

    def take(self, ref: str) -> None:
        """Take the code as of a commit of the repository. Raises NoOldVersion."""
        try:
            command = ["git", "archive", "--format=tar", ref]
            archive = subprocess.run(command, cwd=self._repository, capture_output=True, check=True).stdout
        except OSError as error:
            raise NoOldVersion(f"git cannot be run: {error}") from error
        except subprocess.CalledProcessError as error:
            raise NoOldVersion(f"there is no {ref}: {error.stderr.decode().strip()}") from error
        self._services.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(self._code, filter="data")
        if not (self._code / _RUN_BY).exists():
            raise NoOldVersion(f"{ref} is older than random faults: it has no {_RUN_BY}")

    def runs(self, service: str) -> bool:
        """Whether a service is to run it."""
        return (self._services / service).exists()

    def run_by(self, service: str, *, is_old: bool) -> None:
        """Have a service run it from its next start on, or this version."""
        file = self._services / service
        if is_old:
            file.touch()
        else:
            file.unlink(missing_ok=True)

    def environment(self) -> dict[str, str]:
        """Return what makes Python import its code, and nothing from the working folder."""
        return {"PYTHONPATH": str(self._code), "PYTHONSAFEPATH": "1"}


if __name__ == "__main__":
    old = OldVersion(Path(os.environ[OLD_VERSION]))
    environment = dict(os.environ)
    if old.runs(os.environ["CLAIMBUS_USERNAME"]):
        environment |= old.environment()
        print(json.dumps({"event": STARTED}), file=sys.stderr, flush=True)
    os.execve(sys.executable, [sys.executable, "-m", "tests.random_faults.crashing"], environment)
