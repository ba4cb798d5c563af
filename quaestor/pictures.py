"""Pictures: an account's equity, its strategies and its trades, as PNG bytes.

Drawn on matplotlib's objects alone, never pyplot: no window, no figure that outlives its use. The same story gives the
same bytes: matplotlib's own defaults whatever a user's matplotlibrc says, and no date and no version in the file.
Sessions stand side by side on the x-axis, without gaps for nights and weekends, as the exchange lives them.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaestor.analytics import drawdowns
from quaestor.ledger import ZERO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from quaestor.devlog import Story

INK, PALE, GRID, UP, DOWN = "#1f2933", "#7b8794", "#e4e7eb", "#0b7a75", "#c2410c"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito: for every eye
DPI = 100
DASHES = (0, (4, 3))
COLOURS = 128
TICKS = 9  # dates that stand side by side without touching
ENOUGH = 20  # closed trades: fewer make no distribution, then the sessions are shown
BARS = 24  # a distribution's columns, about

_drawing = threading.Lock()  # matplotlib's settings are the process's


def draw(story: Story) -> dict[str, bytes]:
    """The devlog's pictures by file name; none before anything is settled."""
    from matplotlib import style

    if not story.days:
        return {}
    with _drawing, style.context("default"):
        return {file: _png(picture(story)) for file, picture in PICTURES.items()}


def _equity_and_drawdown(story: Story) -> Figure:
    """Equity against what the range began with, and how far the account stood under its highest."""
    figure = _figure(6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    begun = story.before.equity - story.before.capital if story.before else ZERO
    base = [float(close.capital + begun) for close in story.curve]
    base, equity = base[:1] + base, [base[0], *(float(close.equity) for close in story.curve)]
    depths = [0.0, *(-depth for depth in drawdowns(story.days))]
    places = range(len(equity))
    paid = "paid in" if story.before is None else "at the beginning"
    above.plot(places, base, color=PALE, linewidth=1.2, linestyle=DASHES, drawstyle="steps", label=paid)
    above.plot(places, equity, color=LINES[0], linewidth=1.8, label=f"equity  {_dollars(equity[-1], plus='')}")
    above.fill_between(places, equity, base, color=LINES[0], alpha=0.08, linewidth=0)
    below.fill_between(places, depths, color=DOWN, alpha=0.25, linewidth=0)
    below.plot(places, depths, color=DOWN, linewidth=1.2, label=f"drawdown, deepest {-min(depths):.2%}")
    _dress(above, story, "Equity and drawdown")
    _dress(below, story)
    _in_dollars(above.yaxis)
    _in_percent(below)
    above.set_ylabel("equity at the close")
    below.set_ylabel("below its highest")
    _date(below, story)
    return figure


def _profit_by_strategy(story: Story) -> Figure:
    """Each strategy's profit since the range began, and the account's."""
    figure = _figure(4.8)
    axes = figure.subplots()
    for place, line in enumerate(story.strategies):
        course = [0.0, *map(float, story.course.get(line.name, [ZERO] * len(story.days)))]
        label = f"{_label(line.name)}  {_dollars(course[-1])}"
        axes.plot(course, color=LINES[place % len(LINES)], linewidth=1.5, label=label)
    total = [0.0, *(float(sum(profits.values(), ZERO)) for profits in story.profits)]
    axes.plot(total, color=INK, linewidth=2.2, label=f"all together  {_dollars(total[-1])}")
    axes.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    _dress(axes, story, "Profit by strategy")
    _in_dollars(axes.yaxis)
    axes.set_ylabel("profit since the beginning, after fees")
    _date(axes, story)
    return figure


def _distribution(story: Story) -> Figure:
    """A histogram of the closed trades' profits, or the sessions' where trades are few; even ones are left out."""
    from matplotlib.ticker import MaxNLocator

    by_trade = len(story.trades) >= ENOUGH
    profits = [float(item.profit) for item in (story.trades if by_trade else story.days)]
    one, many = ("closed trade", "closed trades") if by_trade else ("session", "sessions")
    figure = _figure(4.8)
    axes = figure.subplots()
    width = _width(profits)
    edges = _edges(profits, width)
    won, lost = [profit for profit in profits if profit > 0], [profit for profit in profits if profit < 0]
    for part, colour, how in ((lost, DOWN, "lost"), (won, UP, "won")):
        label = f"{len(part):,} {how}  {_dollars(sum(part))}"
        axes.hist(part, bins=edges, color=colour, edgecolor="white", linewidth=0.8, label=label)
    mean = sum(profits) / len(profits)
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(mean, color=INK, linewidth=1.2, linestyle=DASHES, label=f"mean of {len(profits):,}  {_dollars(mean)}")
    _dress(axes, story, f"Profit per {one}")
    _in_dollars(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"profit of a {one}, after fees; one column is {_dollars(width, plus='')}")
    axes.set_ylabel(many)
    return figure


PICTURES = {
    "equity.png": _equity_and_drawdown,
    "strategies.png": _profit_by_strategy,
    "distribution.png": _distribution,
}


# ── dressing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(10, height), dpi=DPI, facecolor="white", layout="constrained")


def _dress(axes: Axes, story: Story, title: str = "") -> None:
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.yaxis.label.set_color(PALE)
    axes.xaxis.label.set_color(PALE)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.margins(x=0.01)
    if title:
        first, last, count = story.evidence.start, story.evidence.end, len(story.days)
        when = f"{first}" if count == 1 else f"{first} to {last}, {count:,} sessions"
        axes.set_title(f"{title}  ·  {_label(story.evidence.account)}  ·  {when}", loc="left", color=INK, fontsize=11)


def _date(axes: Axes, story: Story) -> None:
    """Place 0 is where the range begins: the close before it, or the opening of the account."""
    marks = _dates([day.session for day in story.days])
    first = story.evidence.before.session.isoformat() if story.evidence.before else "opening"
    axes.set_xticks([0, *marks], [first, *marks.values()])


def _dates(days: Sequence[dt.date]) -> dict[int, str]:
    """Which sessions are named, from place 1 on: all if few, else the first of every n-th month or an even choice."""
    if len(days) < TICKS:
        return {place: day.isoformat() for place, day in enumerate(days, 1)}
    months = [place for place in range(1, len(days)) if days[place].month != days[place - 1].month]
    if len(months) < 3:
        step = math.ceil(len(days) / TICKS)
        return {place: days[place - 1].isoformat() for place in range(step, len(days) + 1, step)}
    step = next((n for n in (1, 2, 3, 6) if len(months) <= n * TICKS), 12 * math.ceil(len(months) / 12 / TICKS))
    room = len(days) / TICKS * 0.7  # beside the first label
    return {
        p + 1: f"{days[p]:%Y-%m}" for p in months if p > room and (days[p].year * 12 + days[p].month - 1) % step == 0
    }


def _in_dollars(axis: Axis) -> None:
    axis.set_major_formatter(lambda value, _: _dollars(value, plus=""))


def _in_percent(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.set_ylim(top=0)
    if axes.get_ylim()[0] > -0.01:
        axes.set_ylim(bottom=-0.01)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _dollars(amount: float, plus: str = "+") -> str:
    r"""Whole dollars with thousands; the sign is escaped, two of them would set what stands between as a formula."""
    rounded = round(amount)
    sign = "−" if rounded < 0 else plus if rounded > 0 else ""
    return rf"{sign}\${abs(rounded):,}"


def _label(text: str) -> str:
    """Somebody else's name, taken literally."""
    return text.replace("$", r"\$")


def _width(profits: Sequence[float]) -> float:
    """A round column width, in dollars, that makes about `BARS` columns."""
    span = max(*profits, 0.0) - min(*profits, 0.0)
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / BARS))
    return max(1.0, next(step * power for step in (1, 2, 5, 10) if span / (step * power) <= BARS))


def _edges(profits: Sequence[float], width: float) -> list[float]:
    """Columns on both sides of zero: none holds profits and losses at once."""
    first, last = math.floor(min(*profits, 0.0) / width), math.floor(max(*profits, 0.0) / width) + 1
    return [width * place for place in range(first, last + 1)]


def _png(figure: Figure) -> bytes:
    """A small file: lines and columns need few colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9.5, labelcolor=INK)
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    drawn = Image.frombuffer("RGBA", canvas.get_width_height(), pixels)
    drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()
