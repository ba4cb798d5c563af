"""What a large step is taken for. Size alone convicts nothing: AAPL fell 52 % on 2000-09-29, and that was the market.

    scale error       by ×10 or ×100. Held until an opposite step brings the price back, be it the next bar or a hundred
                      later. Where no stored bar says which side is right, the longer side is.
    spike             the next bar opens and closes where the price was before: a bad print comes back, a crash stays.
    split-sized step  by a plain ratio, at a session's first bar, in ordinary turnover, and it stays. A real crash
                      multiplies the turnover (AAPL that day: ×13); a split leaves it (AAPL 2005-02-28: ×0.4). This bar
                      and all after it are held, since they stand on another share's basis than those before.
    unconfirmed       the newest bar, beyond its limit, with no bar after it to come back or stay. It passes if the bar
                      itself confirms it: its volume, its open, or prints beyond its close on both sides; so a crash day
                      trades on. Else it is held until the next bar is there.

Only the first needs no history. A step that news explains (turnover) is no fault of scale and no split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

from quaestor.bars import DAILY
from quaestor.quality.evidence import Step, power
from quaestor.quality.limits import Context, Limits, Suspicion
from quaestor.splits import RATIOS

if TYPE_CHECKING:
    import polars as pl

OPENING = 0.15  # log: as near as a split's open is to its ratio, whatever the session does then


@dataclass(frozen=True, slots=True)
class Held:
    """Places [start, end) of the working frame that one verdict holds back, in the gate's words."""

    start: int
    end: int
    rule: str
    field: str
    observed: str
    limit: str


def judge(
    found: pl.DataFrame | None, symbols: Sequence[str], context: Context, limits: Limits, timeframe: str
) -> Verdicts:
    """What is held back of each symbol, and which splits are suspected."""
    if found is None:
        return Verdicts([], [])
    names = [each.name for each in fields(Step)]
    steps = (Step(*row) for row in found.select(names).sort("at").iter_rows())
    doubted = (step for step in steps if (symbols[step.group], step.session) not in context.vouched)
    held: list[Held] = []
    suspicions: list[Suspicion] = []
    for group, members in groupby(doubted, key=lambda step: step.group):
        judged = _Symbol(symbols[group], list(members), limits, timeframe)
        held += [*judged.wide(), *judged.scale(), *judged.moves()]
        suspicions += judged.suspicions
    return Verdicts(held, suspicions)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the steps came to."""

    held: list[Held]
    suspicions: list[Suspicion]


class _Symbol:
    """The steps of one symbol, oldest first, and what they are taken for."""

    def __init__(self, symbol: str, steps: list[Step], limits: Limits, timeframe: str) -> None:
        self.symbol, self.steps, self.limits, self.timeframe = symbol, steps, limits, timeframe
        self.suspicions: list[Suspicion] = []
        self.basis: Step | None = None  # the split-sized step after which all bars are held
        self.back = -1  # where a spike comes back: no step of its own

    def wide(self) -> Iterator[Held]:
        """Single fields off by ten or a hundred inside their bar."""
        for step in self.steps:
            tens = power(step.spread, self.limits.scale_tolerance)
            news = step.busy is not None and step.busy >= self.limits.news * 10**tens
            if tens and not news:
                center = step.price or step.close
                field = "high" if abs(math.log(step.high / center)) > abs(math.log(step.low / center)) else "low"
                seen = f"low {step.low:g}, high {step.high:g}"
                yield Held(step.at, step.at + 1, "scale_error", field, seen, "less than ten times")

    def scale(self) -> Iterator[Held]:
        """Stretches between steps of scale that stand on another level than the right one."""
        turns = [step for step in self.steps if self._off_scale(step)]
        if not turns:
            return
        edges = [turns[0].start, *(step.at for step in turns), turns[0].end]
        levels = [0]
        for step in turns:
            levels.append(levels[-1] + power(step.step or 0, self.limits.scale_tolerance))
        right = self._first_right(turns[-1], edges, levels)
        seen_last = {level: place for place, level in enumerate(levels)}
        for place, level in enumerate(levels):
            turn = turns[max(place - 1, 0)]
            if place and turn.explained(self.limits.news) and seen_last[right] < place:
                right = level  # news, and the old level never comes back: the market
            if level != right:
                yield self._stretch(turn, edges[place], edges[place + 1])

    def _off_scale(self, step: Step) -> bool:
        return power(step.step or 0, self.limits.scale_tolerance) != 0

    def _first_right(self, last: Step, edges: list[int], levels: list[int]) -> int:
        """Stored bars know; without them the level of most bars, unless the last turn is news or looks like a split."""
        if last.anchored:
            return 0
        lengths: dict[int, int] = {}
        stays = self._like_a_split(last) or last.explained(self.limits.news)
        for place, level in enumerate(levels[:-1] if stays else levels):
            lengths[level] = lengths.get(level, 0) + edges[place + 1] - edges[place]
        return max(lengths, key=lambda level: lengths[level])

    def _stretch(self, turn: Step, start: int, end: int) -> Held:
        if end == turn.end and start == turn.at and self._like_a_split(turn):
            return self._split(turn, end)
        return Held(start, end, "scale_error", "close", turn.says(), "less than ten times")

    def _like_a_split(self, step: Step) -> bool:
        return step.turnover_stays(self.limits.news) and self._ratio(step) is not None

    def moves(self) -> Iterator[Held]:
        """Spikes, split-sized steps and the newest one where nothing confirms it."""
        for step in self.steps:
            if self.basis:
                yield from self._on_another_basis(self.basis, step)
            elif step.at != self.back and self._beyond(step):
                yield from self._alone(step)
        if self.basis:
            yield self._split(self.basis, self.basis.end)

    def _alone(self, step: Step) -> Iterator[Held]:
        """A step beyond its limit, while the prices stand on their own basis."""
        if step.comes_back(self.limits.reversion):
            self.back = step.at + 1
            yield self._outlier("spike", step, step.at)
        elif step.comes_home(self.limits.reversion):
            yield self._outlier("spike", step, step.at - 1)
        elif self._unexplained_split(step):
            self.basis = step
        elif step.newest and not step.confirmed(self.limits.news):
            yield self._outlier("step_unconfirmed", step, step.at)

    def _on_another_basis(self, basis: Step, step: Step) -> Iterator[Held]:
        """After a split-sized step: one that takes it back ends it, and another split is another suspicion."""
        if step.step and basis.step and abs(step.step + basis.step) < abs(basis.step) / 2:
            self.basis = None
            yield Held(basis.at, step.at, "split_sized_step", "close", basis.says(), "a known split")
        elif self._beyond(step) and self._unexplained_split(step):
            self._suspect(step)

    def _beyond(self, step: Step) -> bool:
        known = step.limit is not None and step.step is not None and not self._off_scale(step)
        return known and abs(step.step or 0) > (step.limit or 0)

    def _unexplained_split(self, step: Step) -> bool:
        """Never without a known volume (it tells a split from a crash), nor halfway home from the bar before."""
        large = abs(step.step or 0) > self.limits.split_step and step.busy is not None
        leaves = large and not step.comes_home(0.5) and not step.explained(self.limits.news)
        return leaves and self._ratio(step) is not None

    def _ratio(self, step: Step) -> Fraction | None:
        """The plain ratio that the step's open or close may mean; splits take effect before a session's first bar."""
        if step.step is None or not (self.timeframe == DAILY or step.opens_session):
            return None
        off = {ratio: min(abs(log + step.step), abs(log + step.opening)) for ratio, log in LOGS.items()}
        nearest = min(off, key=lambda ratio: off[ratio])
        opened = abs(LOGS[nearest] + step.opening) <= OPENING
        return nearest if opened and off[nearest] <= self.limits.split_tolerance else None

    def _split(self, step: Step, end: int) -> Held:
        self._suspect(step)
        return Held(step.at, end, "split_sized_step", "close", step.says(), "a known split")

    def _suspect(self, step: Step) -> None:
        if ratio := self._ratio(step):
            self.suspicions.append(Suspicion(self.symbol, step.session, ratio, math.exp(step.step or 0)))

    def _outlier(self, rule: str, step: Step, at: int) -> Held:
        least = math.exp(step.limit or 0)
        return Held(at, at + 1, rule, "close", step.says(), f"×{1 / least:.3g} to ×{least:.3g}")


LOGS = {ratio: math.log(ratio) for ratio in RATIOS}
