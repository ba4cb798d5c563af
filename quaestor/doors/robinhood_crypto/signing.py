"""Signatures: how Robinhood knows that a request is ours.

Each request carries the API key, the time in whole seconds, and an Ed25519 signature over

    api key + time + path with its query + method + body

as one text without separators. A signature is good for 30 seconds. Robinhood has the public key only; the private one
never leaves this machine. The body that is signed is the very bytes that are sent: JSON is written once.
https://docs.robinhood.com/crypto/trading/#section/Authentication
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quaestor.errors import VaultRefused

WINDOW = 30  # seconds that a signature is good for
SEED = 32  # bytes


@dataclass(frozen=True)
class Keys:
    """An API key and the private key whose public half Robinhood has beside it; no repr shows them."""

    api_key: str = field(repr=False)
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> str:
        """The public key in base64, as it is entered at Robinhood."""
        return base64.b64encode(_public(self.private)).decode()

    def headers(self, at: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """What signs that request; `at`: seconds since 1970 UTC, `path`: with its query, as it is sent."""
        message = f"{self.api_key}{at}{path}{method.upper()}".encode() + body
        signature = base64.b64encode(self.private.sign(message)).decode()
        return {"x-api-key": self.api_key, "x-timestamp": str(at), "x-signature": signature}


def keys(api_key: str, private_key: str, named: tuple[str, str]) -> Keys:
    """The keys as they stand in the vault under these two names.

    private_key: base64 of the 32 bytes of the seed; or of 64, the seed and the public key, as Robinhood's example for
    Node.js prints it. Raises VaultRefused for what is none; it shows nothing of it.
    """
    api_key = api_key.strip()
    if not re.fullmatch(r"[\x21-\x7e]{8,200}", api_key):
        raise VaultRefused(
            f"The secret {named[0]!r} is no API key of Robinhood's. {_cure(named[0], 'the API key (rh-api-…)')}"
        )
    return Keys(api_key, _private(private_key.strip(), named[1]))


def pair() -> tuple[str, str]:
    """A new private key and its public one, both in base64."""
    private = Ed25519PrivateKey.generate()
    return base64.b64encode(private.private_bytes_raw()).decode(), base64.b64encode(_public(private)).decode()


def _private(text: str, name: str) -> Ed25519PrivateKey:
    cure = _cure(name, "the private key in base64, 44 characters")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VaultRefused(f"The secret {name!r} is no base64. {cure}") from None
    if len(raw) not in {SEED, 2 * SEED}:
        raise VaultRefused(f"The secret {name!r} holds {len(raw)} bytes; an Ed25519 key has 32. {cure}")
    private = Ed25519PrivateKey.from_private_bytes(raw[:SEED])
    if len(raw) > SEED and raw[SEED:] != _public(private):
        raise VaultRefused(f"The secret {name!r} holds a private and a public key that do not belong together. {cure}")
    return private


def _public(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def _cure(name: str, what: str) -> str:
    return f"Put {what} into the vault: `quaestor secrets set {name}`."
