"""Ports of what is secret: the vault, and the broker's access token as its users may have it (law 10).

Blocks, files and messages hold names; a value is fetched when it is used, and no repr shows it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from quaestor.logs import know

if TYPE_CHECKING:
    from quaestor.custody.tokens import AccessToken


@dataclass(frozen=True)
class SecretInfo:
    """What may be seen of a version of a secret; times are aware UTC, None where the vault does not know them."""

    name: str
    version: str
    created_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Secret:
    """A value out of the vault; its repr never shows it, nor, from then on, does any log of this process."""

    name: str
    version: str
    value: str = field(repr=False)
    created_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        know(self.value, passing=self.name.endswith(("-access", "-refresh")))  # tokens: changed every few days


class SecretStore(Protocol):
    """A vault. Its calls block: from async code they go to a thread.

    All raise VaultAway (later perhaps) and VaultRefused (a person must act).
    """

    def get(self, name: str, version: str | None = None) -> Secret:
        """The newest version, or that one. Raises NotFound; VaultRefused for a version that is disabled."""
        ...

    def set(
        self,
        name: str,
        value: str,
        *,
        expires_at: dt.datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Secret:
        """Store a new version; the versions before it stay. Raises BadInput for a name or value that no vault takes."""
        ...

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        ...

    def versions(self, name: str) -> list[SecretInfo]:
        """What may be seen of all its versions, newest first. Raises NotFound."""
        ...

    def delete(self, name: str) -> None:
        """Take it out, so that `recover` brings it back. Raises NotFound."""
        ...

    def recover(self, name: str) -> None:
        """Bring back what was deleted. Raises NotFound."""
        ...


class AccessTokens(Protocol):
    """The broker's access token for whoever asks the broker: never the means to make another. Thread-safe."""

    def current(self) -> AccessToken:
        """The newest as the vault has it; kept for a while. Raises ChainBroken where nobody ever logged in."""
        ...

    def after(self, refused: AccessToken) -> AccessToken | None:
        """The broker refused that one: the newer one, read out of the vault.

        None where there is none yet; the refresher has been asked then, once for each token that is refused.
        """
        ...
