"""Access: the broker's access token for all who ask it, and what they do when it is refused.

Nobody here can make a token. One that is refused makes the vault be read again, once for all threads; where there is a
newer one, it is handed out; where there is none, the refresher is asked, once for each token. While it is at work, the
vault is looked at every two seconds; so a chain that a person healed goes on without a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from quaestor.custody.machine import SEED
from quaestor.custody.tokens import AccessToken, Names
from quaestor.errors import BadInput, ChainBroken, NotFound, QuaestorError, Temporary, VaultRefused
from quaestor.ports_custody import Asker
from quaestor.ports_secrets import SecretStore

KEPT = 90.0  # seconds that a token is handed out before the vault is read again
PAUSE = 2.0  # seconds between two readings while the newest is refused
ASKED = 60.0  # seconds until the refresher is told again of the same token
log = logging.getLogger("quaestor.custody")


class VaultAccess:
    """Implements `ports_secrets.AccessTokens`. Calls block: from async code they go to a thread.

    refused: is called, too, where the refresher was asked, once for each token (to start a flow, say).
    """

    def __init__(
        self,
        vault: SecretStore,
        alias: str,
        asker: Asker,
        *,
        refused: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vault, self._name, self._asker = vault, Names(alias).access, asker
        self._refused_hook, self._clock = refused, clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._read_at = float("-inf")
        self._refused = 0  # the newest number that the broker refused
        self._asked: tuple[int, float] = (0, float("-inf"))

    def current(self) -> AccessToken:
        """The newest as the vault has it; a vault that is away leaves what is known."""
        with self._lock:
            token = self._token
            if token is None or self._age() >= (PAUSE if token.seq <= self._refused else KEPT):
                return self._reread()
            return token

    def after(self, refused: AccessToken) -> AccessToken | None:
        """The newer one; None where there is none yet."""
        came = self._clock()
        with self._lock:
            self._refused = max(self._refused, refused.seq)
            token = self._token
            if token is not None and token.seq > refused.seq:
                return token  # another thread was refused the same one, and read the vault
            if self._read_at < came and (self._age() >= PAUSE or token is None or not self._was_asked(refused.seq)):
                token = self._reread()
            if token is not None and token.seq > refused.seq:
                return token
            self._ask(refused.seq)
            return None

    def _age(self) -> float:
        return self._clock() - self._read_at

    def _reread(self) -> AccessToken:
        """What the vault has now; raises ChainBroken, VaultAway and VaultRefused where nothing is known."""
        self._read_at = self._clock()
        try:
            found = AccessToken.read(self._vault.get(self._name).value, self._name)
        except NotFound:
            raise ChainBroken(f"Nobody has logged in yet. {SEED}") from None
        except BadInput as error:  # damaged: the refresher mends it when the token is refused, or due
            if self._token is None:
                raise ChainBroken(str(error)) from None
            log.error("The access token is used as it was read last: %s", error)
            return self._token
        except (Temporary, VaultRefused) as error:
            if self._token is None:
                raise
            log.warning("The access token is used as it was read last: %s", error)
            return self._token
        if self._token is None or found.seq >= self._token.seq:
            self._token = found
        return self._token

    def _was_asked(self, seq: int) -> bool:
        return self._asked[0] == seq

    def _ask(self, seq: int) -> None:
        """Tell the refresher; it is told again where it is silent, for the first word may be lost."""
        known, at = self._asked
        if known == seq and self._clock() - at < ASKED:
            return
        try:
            self._asker.ask(seq)
            self._asked = (seq, self._clock())
            if known != seq:
                self._refused_hook()
        except QuaestorError as error:
            log.warning("The refresher could not be told that the access token is refused: %s", error)
