"""Where the vault and the identities' endpoint are served, and the certificate: made for this machine, and by it.

The certificate outlives the server, so that a configuration which names its file holds; a new one is made when the old
one ends within a day. Its key can be read by its owner alone.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.doors.sim.serving import serving

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFE = dt.timedelta(days=365)


@dataclass(frozen=True)
class Place:
    """url: of the vault; certificate: the file that it is checked with; endpoint, header: of managed identities."""

    url: str
    certificate: Path
    endpoint: str
    header: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes the machine's managed identity this one, for azure-identity."""
        return {"IDENTITY_ENDPOINT": f"{self.endpoint}/msi/token", "IDENTITY_HEADER": self.header}


@contextmanager
def opened(vault: Any, identity: Any, header: str, folder: Path, port: int, identity_port: int) -> Iterator[Place]:
    """Both apps, until the block ends."""
    shown, key = certificate(folder)
    with ExitStack() as stack:
        url = stack.enter_context(serving(vault, port, (shown, key)))
        endpoint = stack.enter_context(serving(identity, identity_port))
        yield Place(url, shown, endpoint, header)


def certificate(folder: Path) -> tuple[Path, Path]:
    """The files of certificate and key for 127.0.0.1 and localhost; made where there are none that are good."""
    shown, key = folder / "keyvault.pem", folder / "keyvault.key"
    if not (key.exists() and shown.exists() and _good(shown)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(shown, key)
    return shown, key


def _good(shown: Path) -> bool:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(shown.read_bytes())
    except ValueError:
        return False
    return found.not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def _make(shown: Path, key: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private.private_bytes(pem, form, serialization.NoEncryption()))
    shown.write_bytes(_signed(private).public_bytes(pem))


def _signed(private: EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    key = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    return (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key), critical=False)
        .sign(private, hashes.SHA256())
    )
