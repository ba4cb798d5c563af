"""Events: all that a live run is told, in the order it was told. Whoever folds them again decides the same again.

`now` is the runner's clock when the event came, in nanoseconds since 1970: the only time the engine knows. Events are
structs that JSON can hold (`msgspec`), so a journal of them is a run's whole input:

    Setup      what runs: limits, strategies, triggers, and what was left by the run before; always the first
    Session    a session begins: its hours, reference prices, what may not be traded
    Told       the account as the books have it, whole: at the start, after a reconciliation, now and then
    Moved      an order of ours stands elsewhere          Filled   shares and cash changed by a fill
    Latched    what stops entries now                     Rules    triggers were added, replaced, removed
    Limits     `[risk]` is another
    Signals    targets for this session, decided on the bars of the one before
    Missed     trades that a broken line missed: for rules alone
    History    bars that are over: strategies see them and nothing is done about it
    Ticks      what the feed told, already screened       Clock    it is that time, and nothing else came
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from quaestor.barring import LiveBar
from quaestor.live.account import AccountState
from quaestor.orders import Side, State
from quaestor.ports import StoredSignal
from quaestor.ticks import Tick, TradeTick


class Player(msgspec.Struct, frozen=True):
    """A strategy in use: name, complete parameters, version and digest of its source, its sleeve (0–1 of equity)."""

    name: str
    parameters: dict[str, Any]
    version: str
    digest: str
    weight: float


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """What runs. `limits` is `[risk]`, `triggers` as `Trigger.as_dict`.

    kept: an engine's dump to go on from; without one, `latches` alone by trigger id.
    """

    now: int
    run: uuid.UUID
    account: str
    symbols: tuple[str, ...]
    limits: dict[str, Any]
    players: tuple[Player, ...]
    triggers: tuple[dict[str, Any], ...]
    commit: str
    config_digest: str
    kept: dict[str, Any] | None = None
    cursor: int = 0  # of the changes that `triggers` has in it


class Session(msgspec.Struct, frozen=True, tag="session"):
    """A session is on: opens, closes in ns; `prices`: last closes in its own shares, dollars; `bar_age` in sessions.

    `splits` are those of its open, as (symbol, numerator, denominator). `entries_wait`: nobody knows what is halted, so
    all is blocked for now, and rules that buy are not spent on a refusal.
    """

    now: int
    session: dt.date
    opens: int
    closes: int
    prices: dict[str, Decimal]
    bar_age: dict[str, int]
    halted: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    splits: tuple[tuple[str, int, int], ...] = ()
    entries_wait: bool = False


class Told(msgspec.Struct, frozen=True, tag="told"):
    """The account, whole; it replaces what is known."""

    now: int
    account: AccountState


class Moved(msgspec.Struct, frozen=True, tag="moved"):
    """An order of ours stands elsewhere; `left`: shares that may still fill."""

    now: int
    ref_id: uuid.UUID
    state: State
    left: Decimal


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """A fill that is booked: dollars per share, fee in dollars; of which order, where that is known."""

    now: int
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    ref_id: uuid.UUID | None = None


class Latched(msgspec.Struct, frozen=True, tag="latched"):
    """What stops entries now, by name; a runner that is told to hold adds `hold`."""

    now: int
    latches: tuple[str, ...]


class Limits(msgspec.Struct, frozen=True, tag="limits"):
    """The limits from now on: `[risk]`, whole."""

    now: int
    limits: dict[str, Any]
    config_digest: str


class Rules(msgspec.Struct, frozen=True, tag="rules"):
    """Triggers changed: those to add or replace, as `Trigger.as_dict`; ids of those removed; the cursor after them."""

    now: int
    put: tuple[dict[str, Any], ...] = ()
    removed: tuple[uuid.UUID, ...] = ()
    cursor: int = 0


class Signals(msgspec.Struct, frozen=True, tag="signals"):
    """Targets of daily strategies, to be acted upon now."""

    now: int
    signals: tuple[StoredSignal, ...]


class History(msgspec.Struct, frozen=True, tag="history"):
    """Bars that closed before, oldest first by symbol, prices in the shares of today."""

    now: int
    bars: tuple[LiveBar, ...]


class Ticks(msgspec.Struct, frozen=True, tag="ticks"):
    """What the feed told, in its order, without what the screen refused."""

    now: int
    ticks: Sequence[Tick]


class Missed(msgspec.Struct, frozen=True, tag="missed"):
    """Trades that a broken line missed, made of history's minutes: rules hear of them, and nothing else."""

    now: int
    ticks: tuple[TradeTick, ...]


class Clock(msgspec.Struct, frozen=True, tag="clock"):
    """It is that time."""

    now: int


Event = Setup | Session | Told | Moved | Filled | Latched | Limits | Rules | Signals | History | Missed | Ticks | Clock
