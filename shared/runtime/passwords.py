"""Passwords in files that can be replaced while a service runs: each new connection has what stands in them by then."""

from pathlib import Path
from typing import Literal, Self

Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"]

_SCRAM: tuple[Mechanism, ...] = ("SCRAM-SHA-512", "SCRAM-SHA-256")


class PasswordInFile(str):
    """What stood in a file when it was read, for whoever takes it as a text; `read_again` has what stands there now.

    A file of SCRAM may say by which mechanism its password is known, as in `{SCRAM-SHA-256}9f2c…`: a user can have one
    for each, of which the new one is in another mechanism than the old one.
    """

    mechanism: Mechanism
    _file: str
    _usual: Mechanism

    @classmethod
    def read(cls, file: str, usual: Mechanism) -> Self:
        """Read a file; `usual` is the mechanism of one that says none. Raises OSError, or ValueError if it is empty."""
        text = Path(file).read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError(f"{file} is empty")
        said = next((each for each in _SCRAM if usual in _SCRAM and text.startswith(_before(each))), None)
        password = cls(text if said is None else text.removeprefix(_before(said)))
        password.mechanism = said or usual
        password._file = file
        password._usual = usual
        return password

    def read_again(self) -> Self:
        """Read the file again. Raises as `read` does."""
        return self.read(self._file, self._usual)


def in_file(password: str, mechanism: Mechanism) -> str:
    """What a file with a password of SCRAM says."""
    return f"{_before(mechanism)}{password}\n"


def _before(mechanism: Mechanism) -> str:
    return f"{{{mechanism}}}"
