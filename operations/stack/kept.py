"""What a stack keeps between starts: passwords, secrets and ports, in a folder that one stack at a time can use."""

import fcntl
import json
import os
import secrets
import socket
from pathlib import Path
from typing import TypeVar

from operations.connection import CompanyAccess, write_privately
from operations.embedded import free_port
from operations.files import WrongFile
from operations.json_files import read_fields
from shared.contract.topics import OPERATOR, SERVICES

T = TypeVar("T")

_PORTS = ("kafka", "postgres", "portal")


class NotUp(Exception):
    """Something would not start."""


class KeptFolder:
    """The folder. What is not in it yet is made up and written; whatever reads it raises NotUp if a file is broken.

    What is in it, its owner alone can read, and what is the database's, its user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.media = path / "media"
        self.companies_file = path / "companies.json"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder and lock it. Raises NotUp if another stack is using it."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotUp(f"another `claimbus up` is using {self.path}") from None
        for folder in (self.logs, self.media):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)  # one of an earlier version could be read by all users of the machine

    def close(self) -> None:
        """Let another stack use it. Again does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def companies(self) -> dict[str, CompanyAccess]:
        """Read the companies' passwords and tokens, and the operator's."""
        companies = _read(self.companies_file, dict[str, CompanyAccess])
        companies.setdefault(OPERATOR, CompanyAccess.new())
        return companies

    def passwords(self) -> dict[str, str]:
        """Read each service's password, on the bus and in its database."""
        file = self.path / "services.json"
        passwords = {service: secrets.token_urlsafe(24) for service in SERVICES} | _read(file, dict[str, str])
        write_privately(file, json.dumps(passwords, indent=2))
        return passwords

    def media_secret(self) -> str:
        """Read what keys of uploads are signed with; another one would make those that companies hold worthless."""
        file = self.path / "media-secret.json"
        secret: str = _read(file, dict[str, str]).get("secret") or secrets.token_urlsafe(32)
        write_privately(file, json.dumps({"secret": secret}))
        return secret

    def ports(self) -> dict[str, int]:
        """Choose the ports of the last start where they are free, so that what companies have configured stays true."""
        file = self.path / "ports.json"
        kept = _read(file, dict[str, int])
        ports = {name: kept[name] if name in kept and is_free(kept[name]) else free_port() for name in _PORTS}
        write_privately(file, json.dumps(ports))
        return ports


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of this machine."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _read(file: Path, kind: type[dict[str, T]]) -> dict[str, T]:
    if not file.exists():
        return {}
    try:
        return read_fields(file, kind)
    except WrongFile as error:
        raise NotUp(f"{error}; put it right, or remove it and have what it keeps made anew") from None
