"""TLS with files that can be replaced while a service runs: each new connection has what stands in them by then."""

import contextlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class _OfFiles(ssl.SSLContext):
    """Reads its files again when they have changed; while they cannot be read, it goes on with what it has."""

    _authorities: str | None = None
    """Who is trusted."""
    _shown: Sequence[str] = ()
    """A certificate, with those that lead to its authority, and its key."""
    _seen: Sequence[int] = ()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Make a connection's TLS, as asyncio does."""
        with contextlib.suppress(OSError):  # ssl.SSLError is one: it is being replaced
            self.read_again()
        return super().wrap_bio(*args, **options)

    def read_again(self) -> None:
        """Read the files if they have changed. Raises OSError."""
        files = [*self._shown, *([self._authorities] if self._authorities else [])]
        changed = [Path(file).stat().st_mtime_ns for file in files]
        if changed == self._seen:
            return
        if self._authorities:
            self.load_verify_locations(self._authorities)
        if self._shown:
            # One that does not fit its key would leave the context without either.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._shown)
            self.load_cert_chain(*self._shown)
        self._seen = changed


def client_context(authorities: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Trust who signs in a file, and who is put into it later; by default whom the system trusts.

    Whom it has once trusted it trusts until the process ends. Shows a certificate if there is one, whose key is in the
    same file unless it has one of its own. Raises OSError.
    """
    if authorities is None and certificate is None:
        return ssl.create_default_context()
    context = _OfFiles(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        context.load_default_certs()
    context._authorities = authorities
    context._shown = [certificate, key or certificate] if certificate else []
    context.read_again()
    return context


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Show a certificate, with those that lead to its authority in the same file. Raises OSError."""
    context = _OfFiles(ssl.PROTOCOL_TLS_SERVER)
    context._shown = [certificate, key]
    context.read_again()
    return context
