"""Decide: signals and the account as it stands become intents and refusals for one session, once.

The decision is pure given what it reads (signals of the session before, lots, cash, equity, closes, latches), and it is
committed whole. Made again after a crash it is either already there or comes out the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.calendar import sessions
from quaestor.errors import BooksDisagree
from quaestor.judging import judge, of_target
from quaestor.latches import FLATTEN
from quaestor.ledger import Lot
from quaestor.operations.marks import marked
from quaestor.ports import Decision, Quotes, Run, StoredSignal
from quaestor.risk import Live, Picture, Record, Working
from quaestor.sizing import plan, strategy_shares

if TYPE_CHECKING:
    from quaestor.config import RiskSection


@dataclass(frozen=True)
class Mandate:
    """What an account trades: strategies by name with their weights (0–1 of equity), universe, limits.

    digests: of those with daily signals, in the order of `weights`; live: the names of the others.
    """

    account: str
    symbols: tuple[str, ...]
    weights: Mapping[str, float]
    digests: tuple[str, ...]
    limits: RiskSection
    cash: Decimal
    first_session: dt.date | None = None
    live: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Standing:
    """The account before a session opens: dollars, lots, the session that the market takes orders for; the rest is as
    `risk.Picture` has it.
    """

    equity: Decimal
    previous_equity: Decimal
    peak: Decimal
    cash: Decimal
    lots: Sequence[Lot]
    latches: tuple[str, ...]
    trading: dt.date | None
    record: Record | None
    settled: dt.date | None = None
    compared: dt.date | None = None
    halted: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    unknown_exits: frozenset[str] = frozenset()
    working: tuple[Working, ...] = ()
    live: Live | None = None


async def decide(
    mandate: Mandate, session: dt.date, signals: Sequence[StoredSignal], standing: Standing, quotes: Quotes, run: Run
) -> Decision:
    """The session's decision, not yet committed; `signals` are those of the session before."""
    symbols = sorted({signal.symbol for signal in signals} | {lot.symbol for lot in standing.lots})
    prices, ages = await _references(symbols, session, quotes)
    if unpriced := sorted({lot.symbol for lot in standing.lots} - set(prices)):
        names = ", ".join(unpriced)
        raise BooksDisagree(f"{session}: {names} is held, but no close of it is stored; ingest it first.")
    shares = strategy_shares([(lot.strategy, lot.symbol, lot.quantity) for lot in standing.lots])
    weights = mandate.weights
    if FLATTEN in standing.latches:
        signals = await _flattening(shares, session, quotes)
        weights = {signal.strategy: 0.0 for signal in signals}
    wanted = plan(mandate.account, session, signals, weights, standing.equity, shares, prices, mandate.limits)
    picture = Picture(
        session=session,
        equity=standing.equity,
        cash=standing.cash,
        peak=standing.peak,
        previous_equity=standing.previous_equity,
        shares=shares,
        prices=prices,
        bar_age=ages,
        trading=standing.trading,
        halted=standing.halted,
        blocked=standing.blocked,
        latches=standing.latches,
        unknown=standing.unknown,
        unknown_exits=standing.unknown_exits,
        settled=standing.settled,
        compared=standing.compared,
        universe=frozenset(mandate.symbols) | {lot.symbol for lot in standing.lots},  # what is held can be sold
        record=standing.record,
        live=standing.live,
        working=standing.working,
    )
    candidates = [of_target(want, standing.equity) for want in wanted]
    intents, refusals = judge(candidates, picture, mandate.limits, run)
    return Decision(session, standing.equity, standing.cash, intents, refusals, run)


async def _flattening(
    shares: Mapping[tuple[str, str], Decimal], session: dt.date, quotes: Quotes
) -> list[StoredSignal]:
    """A person wants nothing held: a target of zero for everything, whatever strategies want."""
    signals = []
    for strategy, symbol in sorted(shares):
        bar = await quotes.last_bar(symbol, session - dt.timedelta(days=1))
        if bar is None:
            continue
        shown = {"bars_seen": 1, "first_session": str(bar.session)}
        seen = {"close": float(bar.close), "bar_version": bar.version, **shown}
        last = (symbol, bar.session, bar.ts)
        signals.append(StoredSignal(strategy, FLATTEN, FLATTEN, {}, *last, 0.0, 0, seen, None))
    return signals


async def _references(
    symbols: Sequence[str], session: dt.date, quotes: Quotes
) -> tuple[dict[str, Decimal], dict[str, int]]:
    """Reference prices (last closes, in the session's own shares) and bar ages in sessions."""
    marks = await marked(symbols, session - dt.timedelta(days=1), session, quotes)
    ages = {symbol: len(sessions(mark.session, session)) - 1 for symbol, mark in marks.items()}
    return {symbol: mark.price for symbol, mark in marks.items()}, ages
