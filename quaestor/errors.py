"""Errors, named by what happens next.

    QuaestorError
    ├── Temporary            retry later; nothing is wrong with the request
    │   ├── DatabaseDown
    │   ├── LeaseHeld        another process is the account's single writer
    │   ├── JournalStopped   (`live.journaling`) a run's journal cannot be written; the run goes on without it
    │   ├── ClockWentBack    a live run's clock is behind what it was told already; it begins anew
    │   ├── FeedLost         (`feeds`) the line of a live feed broke; it comes again after a pause
    │   ├── VaultAway        the vault does not answer, or takes no more requests for now
    │   ├── LoginThrottled   the broker lets nobody log in for now; no login is tried again by itself
    │   ├── BrokerBusy       the broker takes no more requests for now (429): nothing was accepted
    │   │   └── AccessLost   the broker refused our access token (401), and there is no newer one yet: nothing was done
    │   └── BrokerAmbiguous  the broker may or may not have the order (law 2): UNKNOWN, never "failed"
    ├── Permanent            retries are useless; a person must act, and the message says how
    │   ├── BadInput         a file, row, field or parameter; names the place
    │   ├── BadConfig        quaestor.toml or the environment
    │   ├── NotFound         a name nobody knows; answers "did you mean …?"
    │   ├── BrokerRejected   the broker said no
    │   ├── FeedRefused      (`feeds`) a live feed says no: a wrong key, a plan without these data
    │   ├── VaultRefused     the vault says no: a wrong key, a role that is missing, a disabled or damaged secret
    │   ├── LoginRefused     wrong password or code, an approval refused or never given; never tried again by itself
    │   ├── ChainBroken      no token opens the broker any more, nor can one be made: a person logs in anew
    │   ├── PartMissing      an outside part is not installed or not running
    │   ├── ReplayDiverged   a run's events, folded again, were decided otherwise
    │   └── BooksDisagree    a proof of the ledger failed; entries stop
    └── Refused              we chose not to; carries the rule

A docstring is the default message. A message says what happened, where, and the cure.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable


class QuaestorError(Exception):
    """Something in Quaestor went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)) or type(self).__name__)


class Temporary(QuaestorError):
    """A passing fault; the same request may succeed later."""


class DatabaseDown(Temporary):
    """The database does not answer. See `quaestor doctor`."""


class ClockWentBack(Temporary):
    """The machine's clock went back; the run begins anew with the clock as it is."""


class LeaseHeld(Temporary):
    """Another process is this account's single writer; it sends until its lease ends."""

    def __init__(self, message: str | None = None, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder  # who it is, where that is known


class BrokerBusy(Temporary):
    """The broker takes no more requests for now; it has done nothing of what this one asked."""

    def __init__(self, message: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class AccessLost(BrokerBusy):
    """The broker refused our access token, and there is no newer one yet; the refresher knows of it."""


class BrokerAmbiguous(Temporary):
    """The broker gave no clear answer: the order may exist. It stays UNKNOWN until the broker's list resolves it."""


class VaultAway(Temporary):
    """The vault does not answer. What is running keeps the values that it has."""


class LoginThrottled(Temporary):
    """The broker lets nobody log in for now. Wait at least ten minutes, then run `quaestor auth seed` again."""

    def __init__(self, message: str | None = None, retry_after: float = 600.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class Permanent(QuaestorError):
    """A fault that a retry cannot cure; a person must act."""


class BadInput(Permanent):
    """The input cannot be used; nothing was written."""


class BadConfig(Permanent):
    """The configuration cannot be used; nothing was started."""


class NotFound(Permanent):
    """Nobody knows this name."""

    @classmethod
    def named(cls, kind: str, name: str, known: Iterable[str], cure: str = "") -> NotFound:
        """An error that names what was asked, the nearest known name, and what there is."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        there = f" Known: {shown}." if names else " None is known yet."
        return cls(f"Unknown {kind} {name!r}.{hint}{there}{' ' + cure if cure else ''}")


class BrokerRejected(Permanent):
    """The broker refused the order."""


class PartMissing(Permanent):
    """A part that Quaestor needs is missing. See `quaestor doctor`."""


class VaultRefused(Permanent):
    """The vault refuses us. See `quaestor secrets check`."""


class LoginRefused(Permanent):
    """The broker refused the login. Correct what it names, then run `quaestor auth seed` again."""


class ChainBroken(Permanent):
    """No token opens the broker any more. Log in anew: `quaestor auth seed` or `quaestor auth import`."""


class BooksDisagree(Permanent):
    """The ledger does not prove itself; entries are stopped. See `quaestor status` and the reconcile report."""


class ReplayDiverged(Permanent):
    """A live run decides otherwise when it is folded again. `quaestor replay RUN` shows the first difference."""


class Refused(QuaestorError):
    """We chose not to act."""
