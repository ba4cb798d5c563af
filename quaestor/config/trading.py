"""What trades, within which limits, and how a live run behaves."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from quaestor.bars import SYMBOL
from quaestor.config.words import Amount, Section


class StrategyUse(Section):
    """One strategy and the share of equity it may use (its sleeve)."""

    name: str = Field(description="A shipped strategy's name, or that of one in the folder.")
    weight: float = Field(gt=0, le=1, description="Share of the account's equity, 0–1.")
    parameters: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="Its parameters; what is not named keeps its default."
    )


class StrategiesSection(Section):
    """What trades."""

    folder: str = Field("strategies", description="Folder of a user's own strategies (*.py), relative to the file.")
    first_session: dt.date | None = Field(
        None, description="Trade from this session on; empty: from the day after history starts."
    )
    use: tuple[StrategyUse, ...] = (  # docs/strategies.md describes them
        StrategyUse(name="sma_crossover", weight=0.32, parameters={"fast": 10, "slow": 30}),
        StrategyUse(name="momentum", weight=0.32, parameters={"top": 2}),
        StrategyUse(name="rsi_reversion", weight=0.32, parameters={}),
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> StrategiesSection:
        total = sum(use.weight for use in self.use)
        if total > 1 + 1e-9:
            raise ValueError(f"the weights sum to {total:g}; together they may use at most 1")
        names = [use.name for use in self.use]
        if len(set(names)) != len(names):
            raise ValueError("a strategy is used twice; give each name once")
        return self


def _symbols(names: tuple[str, ...]) -> tuple[str, ...]:
    """A name that is no symbol would allow or deny nothing."""
    if wrong := [name for name in names if not re.fullmatch(SYMBOL, name)]:
        raise ValueError(f"{wrong[0]!r} is no symbol; write it like AAPL or BRK.B")
    return names


class RiskSection(Section):
    """Limits of the risk gate, each with its unit; docs/risk.md has its rules. An order that reduces a position passes
    all but sanity (law 5).
    """

    max_order_notional: Amount = Field(Decimal(50_000), gt=0, description="Dollars per order.")
    max_order_shares: int = Field(100_000, gt=0, description="Shares per order.")
    max_position_weight: Amount = Field(Decimal("0.40"), gt=0, le=1, description="Share of equity in one symbol, 0–1.")
    max_gross_exposure: Amount = Field(Decimal("1.00"), gt=0, description="Market value of all positions / equity.")
    max_net_exposure: Amount = Field(
        Decimal("1.00"), gt=0, description="The same, short positions set against long ones."
    )
    max_open_positions: int = Field(20, gt=0, description="Symbols held at a time.")
    max_orders_per_minute: int = Field(60, gt=0, description="Orders sent, every try counted.")
    max_orders_per_session: int = Field(50, gt=0, description="Orders.")
    min_order_notional: Amount = Field(
        Decimal(100), ge=0, description="Dollars; smaller changes are not worth their costs."
    )
    rebalance_band: Amount = Field(
        Decimal("0.25"), ge=0, description="Part of the target a position may drift before it is trimmed or topped up."
    )
    cash_buffer: Amount = Field(
        Decimal("0.06"), ge=0, lt=1, description="Part of a purchase held back for an open above the last close."
    )
    cash_account: bool = Field(False, description="Whether proceeds of a sale may be spent only once they are settled.")
    max_bar_age: int = Field(1, ge=1, description="Sessions between the newest bar and the order's session.")
    quality_window: int = Field(5, ge=1, le=250, description="Sessions before the order's in which bars are looked at.")
    max_quarantined: int = Field(0, ge=0, description="Bars of the symbol in quarantine in those sessions.")
    price_band: Amount = Field(
        Decimal("0.10"), gt=0, lt=1, description="Part of the last price an entry's price may be away from it."
    )
    price_band_exits: Amount = Field(
        Decimal("0.50"), gt=0, lt=1, description="The same for an order that reduces a position."
    )
    max_spread: Amount = Field(Decimal("0.01"), gt=0, lt=1, description="Ask less bid / the middle of both.")
    max_quote_age: Amount = Field(Decimal(10), gt=0, description="Seconds since the quote an entry is made on.")
    max_clock_skew: Amount = Field(Decimal(2), gt=0, le=60, description="Seconds between our clock and another.")
    quiet_open: int = Field(2, ge=0, le=60, description="Minutes before and after the opening without entries.")
    quiet_close: int = Field(10, ge=0, le=120, description="Minutes before the close without entries.")
    duplicate_window: int = Field(
        60, ge=0, description="Seconds in which a second order of a strategy, symbol and side is a duplicate."
    )
    max_reconcile_age: int = Field(
        1, ge=1, description="Sessions since books and broker were last compared, and agreed."
    )
    max_realized_loss: Amount = Field(
        Decimal("0.05"), gt=0, le=1, description="Part of the previous equity lost by sales, then no entry is made."
    )
    max_daily_loss: Amount = Field(
        Decimal("0.05"),
        gt=0,
        le=1,
        description="Part of the previous equity lost in a session after which no entry is made.",
    )
    max_drawdown: Amount = Field(
        Decimal("0.35"), gt=0, le=1, description="Part of the peak equity lost after which no entry is made."
    )
    max_losses_in_a_row: int = Field(10, gt=0, description="Losing closes in a row after which no entry is made …")
    losing_pause: int = Field(5, ge=0, le=250, description="… for so many sessions after the last of them.")
    cooldown: int = Field(
        0, ge=0, le=250, description="Sessions without entries in a symbol after a losing close of it; 0: none."
    )
    allow: Annotated[tuple[str, ...], AfterValidator(_symbols)] = Field(
        (), description="Symbols that entries may be made in; empty: all of the universe."
    )
    deny: Annotated[tuple[str, ...], AfterValidator(_symbols)] = Field(
        (), description="Symbols that no entry is made in."
    )

    @model_validator(mode="after")
    def _lists_agree(self) -> RiskSection:
        if both := sorted(set(self.allow) & set(self.deny)):
            raise ValueError(f"{both[0]} is both allowed and denied; choose one")
        return self


class LiveSection(Section):
    """How the live run behaves; docs/live.md shows it at work."""

    on_cancel: Literal["hold", "flatten"] = Field(
        "hold", description="What a cancelled `live` flow asks of the runner: enter nothing new, or sell everything."
    )
    beat: float = Field(2.0, ge=0.5, le=10, description="Seconds between two heartbeats of the runner.")
    reconcile_minutes: int = Field(
        15, ge=0, le=1440, description="Minutes between two comparisons with the broker while a run goes on; 0: none."
    )
    cross_check: Literal["off", "warn", "refuse"] = Field(
        "off", description="What happens to an entry when the broker's own quote is far from the feed's."
    )
    cross_check_percent: Amount = Field(
        Decimal(1), gt=0, le=50, description="Percent by which the two may differ at most."
    )
    cross_check_seconds: float = Field(
        0.5, gt=0, le=10, description="Seconds that the broker's quote is waited for; later counts as far."
    )
    cross_check_age: Amount = Field(
        Decimal(10), gt=0, le=900, description="Seconds that the broker's quote may be old; an older one counts as far."
    )
    fill_gaps: bool = Field(
        True, description="Whether the minutes that a broken line missed are fetched from the source of history."
    )
