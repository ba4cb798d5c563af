"""Sealing: what lies in the database for a while, encrypted with a key that lies in the vault (law 10).

Fernet: AES-128-CBC with HMAC-SHA256. A secret that waits for the vault, or for the login that asked for it, is read by
nobody who has the database alone.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from quaestor.errors import BadInput


class Sealing:
    """Implements `ports_custody.Sealing`."""

    def new_key(self) -> str:
        """A key, as the vault keeps it."""
        return Fernet.generate_key().decode()

    def seal(self, key: str, text: str) -> str:
        """Encrypt; raises BadInput for what is no key."""
        return _cipher(key).encrypt(text.encode()).decode()

    def unseal(self, key: str, sealed: str) -> str:
        """Decrypt; raises BadInput where the key is another's."""
        try:
            return _cipher(key).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise BadInput("What is sealed in the database was sealed with another key than the vault has.") from None


def _cipher(key: str) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        raise BadInput(
            "The spool's key in the vault is no key; `quaestor auth refresh --now` makes a new one."
        ) from None
