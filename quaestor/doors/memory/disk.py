"""The disks of a simulation: all that survives a process that dies."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.errors import LeaseHeld
from quaestor.ledger import Equity, Lot, Posting
from quaestor.orders import Execution
from quaestor.ports import Latch, Lease, Reconciliation, StoredOrder, Transition
from quaestor.risk import Refusal

START = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Event:
    """An order's step as it is logged."""

    ref_id: uuid.UUID
    step: Transition
    epoch: int


@dataclass
class Disk:
    """One account's books, and who may write them; seconds of the simulated clock are `now`."""

    now: float = 0.0
    holder: str | None = None
    epoch: int = 0
    expires: float = 0.0
    decided: dict[dt.date, Mapping[str, Any]] = field(default_factory=dict)
    orders: dict[uuid.UUID, StoredOrder] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    fills: dict[str, tuple[Execution, str]] = field(default_factory=dict)
    suspects: dict[str, str] = field(default_factory=dict)
    entries: dict[str, tuple[Posting, ...]] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    equity: dict[dt.date, Equity] = field(default_factory=dict)
    latches: dict[str, Latch] = field(default_factory=dict)
    reconciliations: list[Reconciliation] = field(default_factory=list)

    @property
    def at(self) -> dt.datetime:
        """What its clock shows."""
        return START + dt.timedelta(seconds=self.now)

    @property
    def stopped(self) -> bool:
        """Whether a latch stops entries."""
        return bool(self.latches)

    def guard(self, lease: Lease) -> None:
        """Refuse to write for a lease that was lost (law 3)."""
        if (self.holder, self.epoch) != (lease.holder, lease.epoch) or self.expires <= self.now:
            raise LeaseHeld(
                f"The lease of account {lease.account!r}, epoch {lease.epoch}, is lost. "
                "Nothing was written; run it again."
            )

    def balances(self) -> dict[str, Decimal]:
        """The ledger accounts' sums, debits positive."""
        sums: dict[str, Decimal] = {}
        for postings in self.entries.values():
            for posting in postings:
                sums[posting.ledger_account] = sums.get(posting.ledger_account, Decimal(0)) + posting.amount
        return sums


class Disks(dict[str, Disk]):
    """An empty disk for each account, there at the first look."""

    def __missing__(self, account: str) -> Disk:
        return self.setdefault(account, Disk())
