"""Certificates for servers on this machine and for their clients, and who signs them."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_KEYS = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


class Authority:
    """Signs certificates for this machine's loopback address."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority {x509.random_serial_number()}")])
        self._own = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))

    def write(self, file: Path) -> None:
        """Write its own certificate."""
        file.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def write_server(self, file: Path) -> int:
        """Write a new key with its certificate; return its number."""
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return self._write(file, "127.0.0.1", address)

    def write_client(self, file: Path, name: str) -> int:
        """Write a new key with its certificate, for a client of that common name; return its number."""
        return self._write(file, name, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))

    def _write(self, file: Path, name: str, extension: x509.ExtensionType) -> int:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, extension)
        file.write_bytes(key.private_bytes(*_KEYS) + signed.public_bytes(serialization.Encoding.PEM))
        return signed.serial_number

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )
