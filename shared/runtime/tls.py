"""TLS with files that can be replaced while a service runs: each new connection has what stands in them by then."""

import contextlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class _OfFiles(ssl.SSLContext):
    """Reads its files again when they have changed; while they cannot be read, it goes on with what it has."""

    _files: Sequence[str] = ()
    _seen: Sequence[int] = ()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Make a connection's TLS, as asyncio does."""
        with contextlib.suppress(OSError):  # ssl.SSLError is one: it is being replaced
            self.read_again()
        return super().wrap_bio(*args, **options)

    def read_again(self) -> None:
        """Read the files if they have changed. Raises OSError."""
        changed = [Path(file).stat().st_mtime_ns for file in self._files]
        if changed != self._seen:
            self._read()
            self._seen = changed

    def _read(self) -> None:
        raise NotImplementedError


class _Client(_OfFiles):
    def _read(self) -> None:
        self.load_verify_locations(self._files[0])


class _Server(_OfFiles):
    def _read(self) -> None:
        # One that does not fit its key would leave the context without either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
        self.load_cert_chain(*self._files)


def client_context(authorities: str | None) -> ssl.SSLContext:
    """Trust who signs in a file, and who is put into it later; by default whom the system trusts.

    Whom it has once trusted it trusts until the process ends. Raises OSError.
    """
    if authorities is None:
        return ssl.create_default_context()
    context = _Client(ssl.PROTOCOL_TLS_CLIENT)
    context._files = [authorities]
    context.read_again()
    return context


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Show a certificate, with those that lead to its authority in the same file. Raises OSError."""
    context = _Server(ssl.PROTOCOL_TLS_SERVER)
    context._files = [certificate, key]
    context.read_again()
    return context
