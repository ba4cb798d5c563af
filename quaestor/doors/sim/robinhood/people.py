"""People: who may log in at the protocol server, and which accounts are theirs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Person:
    """One login. `accounts`: its account numbers by alias, the default one first; its repr shows no secret.

    totp_seed: base32, "" where no second factor is asked; devices: device tokens that are trusted from the start;
    agentic: aliases of accounts that the official Agentic Trading may trade.
    """

    username: str = "someone@example.com"
    password: str = field(default="correct horse", repr=False)
    totp_seed: str = field(default="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", repr=False)
    accounts: Mapping[str, str] = field(default_factory=lambda: {"main": "5QX00001"}, repr=False, hash=False)
    devices: frozenset[str] = field(default=frozenset(), repr=False)
    agentic: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Its number at the broker."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.username))

    @property
    def default(self) -> str:
        """The number of its default account, "" where it has none."""
        return next(iter(self.accounts.values()), "")
