from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal

import pytest

from quaestor import analytics
from quaestor.analytics import Drawdown, KeyFigures, daily, drawdown, drawdowns, key_figures
from quaestor.devlog import Evidence
from quaestor.ledger import Equity
from quaestor.trades import follow

D = Decimal
Build = Callable[..., Equity]


def days(count: int) -> list[dt.date]:
    return [dt.date(2012, 1, 2) + dt.timedelta(days=n) for n in range(count)]


def curve(equity: Build, *values: str) -> list[Equity]:
    return [equity(day, value, "0") for day, value in zip(days(len(values)), values, strict=True)]


def test_the_account_of_three_sessions_comes_out_as_worked_by_hand(evidence: Evidence) -> None:
    closes = [close.equity for close in evidence.closes]
    figures = key_figures(closes, follow(evidence.journal).trades, evidence.fills)
    # returns: 10,010 / 10,000 − 1, 10,000 / 10,010 − 1, 10,034.90 / 10,000 − 1
    first, second, third = 0.001, -10 / 10010, 0.00349
    mean = (first + second + third) / 3
    spread = math.sqrt(((first - mean) ** 2 + (second - mean) ** 2 + (third - mean) ** 2) / 2)
    assert (figures.sessions, figures.final_equity, figures.deposits) == (3, D("10034.90"), D(10000))
    assert (figures.profit, figures.fees, figures.opening_equity) == (D("34.90"), D("0.10"), 0)
    assert figures.total_return == pytest.approx(0.00349)
    assert figures.volatility == pytest.approx(spread * math.sqrt(252))
    assert figures.sharpe == pytest.approx(mean / spread * math.sqrt(252))
    assert figures.sortino == pytest.approx(mean / math.sqrt(second**2 / 3) * math.sqrt(252))
    assert figures.drawdown == Drawdown(
        depth=pytest.approx(10 / 10010),
        peak=dt.date(2012, 1, 3),
        trough=dt.date(2012, 1, 4),
        recovered=dt.date(2012, 1, 5),
    )
    assert figures.best is not None
    assert (figures.best.session, figures.best.profit) == (dt.date(2012, 1, 5), D("34.90"))
    assert figures.worst is not None
    assert (figures.worst.session, figures.worst.profit) == (dt.date(2012, 1, 4), D(-10))
    assert (figures.trades, figures.win_rate, figures.average_win) == (1, 1.0, D("29.90"))
    assert (figures.average_loss, figures.profit_factor) == (None, None)
    assert figures.exposure == pytest.approx((1010 / 10010 + 1250 / 10000 + 255 / 10034.90) / 3)
    assert figures.turnover == pytest.approx((1000 + 250 + 1030) / 2 / ((10010 + 10000 + 10034.90) / 3))


def test_a_deposit_is_no_return(equity: Build) -> None:
    first, second, third = days(3)
    closes = [
        equity(first, "10100", "0"),
        equity(second, "15150", "0", capital="15000"),
        equity(third, "16665", "0", capital="15000"),
    ]
    figures = key_figures(closes)
    # +1 %; then 5,000 more at the open and +50 on 15,100; then +10 %
    assert [day.change for day in daily(closes)] == pytest.approx([0.01, 50 / 15100, 0.10])
    assert figures.total_return == pytest.approx(1.01 * (1 + 50 / 15100) * 1.1 - 1)
    assert (figures.profit, figures.deposits) == (D(1665), D(15000))
    assert figures.drawdown is None


def test_a_range_is_measured_against_the_close_before_it(equity: Build) -> None:
    before, *closes = curve(equity, "11000", "12100", "11000")
    figures = key_figures(closes, before=before)
    assert (figures.total_return, figures.profit, figures.deposits) == (0.0, 0, 0)
    assert figures.opening_equity == 11000
    assert figures.drawdown == Drawdown(pytest.approx(1 - 11000 / 12100), days(3)[1], days(3)[2], None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            ("9000", "9500"), Drawdown(0.1, None, days(1)[0], None), id="a fall from the opening has no peak session"
        ),
        pytest.param(
            ("9000", "10000"), Drawdown(0.1, None, days(1)[0], days(2)[1]), id="back at the high is recovered"
        ),
        pytest.param(("10000", "11000"), None, id="never below a high"),
        pytest.param(
            ("20000", "20000", "10000", "19999"),
            Drawdown(0.5, days(2)[1], days(3)[2], None),
            id="the peak is the last session at the high",
        ),
        pytest.param(
            ("20000", "15000", "20000", "15000"),
            Drawdown(0.25, days(1)[0], days(2)[1], days(3)[2]),
            id="of two equal falls the first",
        ),
        pytest.param(
            ("20000", "19000", "30000", "15000", "24000"),
            Drawdown(0.5, days(3)[2], days(4)[3], None),
            id="the deepest, not the first",
        ),
    ],
)
def test_the_drawdown_names_depth_peak_trough_and_recovery(
    equity: Build, values: tuple[str, ...], expected: Drawdown | None
) -> None:
    assert drawdown(daily(curve(equity, *values))) == expected


def test_drawdowns_stand_at_zero_on_each_new_high(equity: Build) -> None:
    assert drawdowns(daily(curve(equity, "11000", "9900", "12000"))) == pytest.approx([0.0, 0.1, 0.0])


def test_no_sessions_give_no_figures_and_no_nan() -> None:
    figures = key_figures([])
    assert (figures.sessions, figures.final_equity, figures.total_return) == (0, 0, 0.0)
    assert {f.name for f in fields(KeyFigures) if getattr(figures, f.name) is None} == {
        "cagr", "volatility", "sharpe", "sortino", "drawdown", "best", "worst", "exposure", "turnover", "win_rate",
        "average_win", "average_loss", "profit_factor",
    }  # fmt: skip


def test_one_session_has_a_return_and_nothing_that_needs_two(equity: Build) -> None:
    figures = key_figures(curve(equity, "10100"))
    assert figures.total_return == pytest.approx(0.01)
    assert (figures.volatility, figures.sharpe, figures.sortino, figures.cagr) == (None, None, None, None)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["10000"] * 30, id="nothing happens"),
        pytest.param([str(D(10000) * D("1.01") ** n) for n in range(1, 31)], id="the same return each session"),
    ],
)
def test_a_return_without_risk_has_no_sharpe_ratio(equity: Build, values: list[str]) -> None:
    figures = key_figures(curve(equity, *values))
    assert (figures.sharpe, figures.sortino) == (None, None)
    assert figures.volatility == pytest.approx(0, abs=1e-12)


def test_a_spread_that_is_rounding_is_no_risk() -> None:
    assert analytics._ratio([0.01, math.nextafter(0.01, 1)], 1e-18) is None


def test_a_year_of_sessions_grows_by_its_total_return_and_less_than_a_month_is_not_blown_up(equity: Build) -> None:
    year = [str(D(10000) + 10 * n) for n in range(1, 253)]
    assert key_figures(curve(equity, *year)).cagr == pytest.approx(0.252)
    assert key_figures(curve(equity, *year[:126])).cagr == pytest.approx(1.126**2 - 1)
    assert key_figures(curve(equity, *year[:20])).cagr is None


def test_an_account_that_lost_everything_stays_at_minus_one(equity: Build) -> None:
    figures = key_figures(curve(equity, "5000", "0", "0"))
    assert (figures.total_return, figures.cagr) == (-1.0, None)
    assert figures.drawdown == Drawdown(1.0, None, days(2)[1], None)
