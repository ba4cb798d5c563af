"""Decide: signals and the account as it stands become intents and refusals for one session, once.

The decision is pure given what it reads (signals of the session before, lots, cash, equity, closes, latches), and it is
committed whole. Made again after a crash it is either already there or comes out the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from quaestor.calendar import sessions
from quaestor.exchange import cents
from quaestor.ledger import Lot
from quaestor.orders import Intent
from quaestor.ports import Decision, Quotes, Run, StoredSignal
from quaestor.risk import Check, Picture, Refusal, gate, refusal
from quaestor.sizing import Wanted, plan, strategy_shares

if TYPE_CHECKING:
    from quaestor.config import RiskSection


@dataclass(frozen=True)
class Mandate:
    """What an account trades: strategies by name with their weights (0–1 of equity) and digests, universe, limits."""

    account: str
    symbols: tuple[str, ...]
    weights: Mapping[str, float]
    digests: tuple[str, ...]
    limits: RiskSection
    cash: Decimal
    first_session: dt.date | None = None


@dataclass(frozen=True)
class Standing:
    """The account before a session opens: dollars, lots, open latches, symbols with an unresolved order."""

    equity: Decimal
    previous_equity: Decimal
    peak: Decimal
    cash: Decimal
    lots: Sequence[Lot]
    latches: tuple[str, ...]
    unknown: frozenset[str]


async def decide(
    mandate: Mandate, session: dt.date, signals: Sequence[StoredSignal], standing: Standing, quotes: Quotes, run: Run
) -> Decision:
    """The session's decision, not yet committed; `signals` are those of the session before."""
    symbols = sorted({signal.symbol for signal in signals} | {lot.symbol for lot in standing.lots})
    prices, ages = await _references(symbols, session, quotes)
    shares = strategy_shares([(lot.strategy, lot.symbol, lot.quantity) for lot in standing.lots])
    wanted = plan(mandate.account, session, signals, mandate.weights, standing.equity, shares, prices, mandate.limits)
    picture = Picture(
        session=session,
        equity=standing.equity,
        cash=standing.cash,
        peak=standing.peak,
        previous_equity=standing.previous_equity,
        shares=shares,
        prices=prices,
        bar_age=ages,
        latches=standing.latches,
        unknown=standing.unknown,
    )
    intents, refusals = judge(wanted, picture, mandate.limits, standing.equity, run)
    return Decision(session, standing.equity, standing.cash, intents, refusals, run)


def judge(
    wanted: Iterable[Wanted], picture: Picture, limits: RiskSection, equity: Decimal, run: Run
) -> tuple[list[Intent], list[Refusal]]:
    """Pass each wanted order through the gate, exits first; what passes counts for those after it."""
    intents, refusals = [], []
    for want in wanted:
        checks = gate(want.intent, picture, limits)
        evidence = provenance(want, checks, equity, run)
        failed = next((check for check in checks if not check.ok), None)
        if failed is not None:
            refusals.append(refusal(want.intent, failed, evidence))
            continue
        intents.append(replace(want.intent, provenance=evidence))
        picture = picture.after(want.intent)
    return intents, refusals


def provenance(want: Wanted, checks: Sequence[Check], equity: Decimal, run: Run) -> dict[str, Any]:
    """Why: the bars seen, strategy, version and parameters, target and sizing, every check, flow run and commit."""
    signal = want.signal
    return {
        "bars": [{"symbol": signal.symbol, "timeframe": "1d", "bar_end": signal.bar_end.isoformat(), **signal.seen}],
        "strategy": {
            "name": signal.strategy,
            "version": signal.version,
            "parameters": dict(signal.parameters),
            "digest": signal.digest,
        },
        "target": {
            "weight": signal.target,
            "revision": signal.revision,
            "equity": str(equity),
            "sleeve": str(cents(want.sleeve)),
            "reference_price": str(want.intent.reference_price),
            "held": str(want.held),
            "wanted": str(want.wanted),
        },
        "checks": [asdict(check) for check in checks],
        "signal_flow_run_id": signal.flow_run_id,
        "flow_run_id": run.flow_run_id,
        "code_commit": run.commit,
        "config_digest": run.config_digest,
    }


async def _references(
    symbols: Sequence[str], session: dt.date, quotes: Quotes
) -> tuple[dict[str, Decimal], dict[str, int]]:
    """Reference prices (last close, in the session's own shares: a split at its open divides it) and bar ages."""
    prices: dict[str, Decimal] = {}
    ages: dict[str, int] = {}
    ratios = {split.symbol: split.ratio for split in await quotes.splits(session)}
    before = session - dt.timedelta(days=1)
    for symbol in symbols:
        bar = await quotes.last_bar(symbol, before)
        if bar is None:
            continue
        ratio = ratios.get(symbol)
        prices[symbol] = bar.close if ratio is None else cents(bar.close * ratio.denominator / ratio.numerator)
        ages[symbol] = len(sessions(bar.session, session)) - 1
    return prices, ages
