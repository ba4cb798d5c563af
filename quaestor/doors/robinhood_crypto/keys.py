"""The key ring: the API key and the private key as the vault has them, kept for a few minutes (law 10).

A vault is slow and may be away; a key lives for months. So what was fetched is used for a while, and longer where the
vault is away. When Robinhood refuses it, the vault is read at once: a person may have changed it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from quaestor.doors.robinhood_crypto import signing
from quaestor.doors.robinhood_crypto.signing import Keys
from quaestor.errors import NotFound, VaultAway, VaultRefused
from quaestor.ports_secrets import SecretStore

KEPT = 300.0  # seconds


class KeyRing:
    """Thread-safe. `key`, `private`: the names of the two secrets; now: seconds that only grow."""

    def __init__(
        self, vault: SecretStore, key: str, private: str, *, kept: float = KEPT, now: Callable[[], float] | None = None
    ) -> None:
        self.names = (key, private)
        self._vault, self._kept, self._now = vault, kept, now or time.monotonic
        self._keys: Keys | None = None
        self._versions: tuple[str, str] | None = None
        self._read_at = 0.0
        self._reading = threading.Lock()

    def current(self) -> Keys:
        """The keys. Raises VaultAway where none was ever read, VaultRefused for one that is missing or none."""
        with self._reading:
            if self._keys is None or self._now() - self._read_at > self._kept:
                try:
                    self._read()
                except VaultAway:
                    if self._keys is None:
                        raise
            assert self._keys is not None  # noqa: S101 - `_read` has set it
            return self._keys

    def after(self, refused: Keys) -> Keys | None:
        """Robinhood refused these: those that the vault has in their place by now; None where it has no others."""
        with self._reading:
            if self._keys is refused:
                self._read()
            return None if self._keys is refused else self._keys

    def _read(self) -> None:
        """Fetch both; what is the same version stays the same object."""
        try:
            found = [self._vault.get(name) for name in self.names]
        except NotFound as error:
            raise VaultRefused(f"{error} Make a key at Robinhood first: docs/robinhood-crypto.md.") from error
        versions = (found[0].version, found[1].version)
        if versions != self._versions:
            self._keys = signing.keys(found[0].value, found[1].value, self.names)
            self._versions = versions
        self._read_at = self._now()
