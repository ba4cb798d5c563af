"""The book of triggers: all of them, indexed by what could change any of them next.

    tick ──between its symbol's bounds──▶ kept; nothing else happens (two comparisons of prices)
         └─otherwise──▶ believed? ──▶ its series wake whom it concerns ──▶ each is judged ──▶ fires, or sleeps again

**The clock** is told by `on_time`; ticks do not move it. Cooldown, expiry, the age of a tick are judged by it: tell the
time before each batch of ticks. A tick from the future or older than an hour is refused and counted, and a price that
is none; a tick too old for one trigger moves its memory and does not fire it; its condition may still hold when a
fresh one comes. A tick of a symbol without triggers is none of the book's business.

**What is judged when.** A trigger sees each believed tick of the symbols its condition looks at, each `on_time`, and
each `on_equity` if it looks at the drawdown. All its symbols' last ticks must be fresh for it to fire. A condition
that holds while the trigger cools down fires at the end of the cooldown, if it holds still. A crossing is a moment; a
trailing stop that fired begins a new trail. One that has fired for good, or expired, watches nothing.

**What waits.** While nobody knows whether an entry may be sent (`hold_entries`), triggers that buy do not fire; all
else of them goes on, as with a tick that is too old. What holds when that ends fires then; a moment that passed is
over.

A book that is dumped and restored goes on as if nothing had happened; whether entries wait is told it anew.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from quaestor.errors import BadInput, NotFound
from quaestor.splits import Split
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers.conditions import INF, UNKNOWN, Judged, Moved, Seen, SessionTime, Trailing
from quaestor.triggers.market import Market, rescale, tracks_of
from quaestor.triggers.series import Heap, Watch, Watcher, price_of
from quaestor.triggers.trigger import Firing, Latch, Trigger, firing_id, read_latch

OLDEST = 3600 * SECOND  # of a tick, before the clock
SKEW = 5 * SECOND  # by which a feed's clock may be ahead of ours
NONE: list[Firing] = []  # what a tick that fires nothing answers; nobody writes to it


class TriggerBook:
    """Triggers that may be added, replaced and removed at any time. `refused` counts ticks by the rule they broke."""

    def __init__(self, now: int = 0) -> None:
        self.now = 0
        self.refused: Counter[str] = Counter()
        self.market = Market()
        self._watchers: dict[uuid.UUID, Watcher] = {}
        self._by_fact: dict[str, dict[uuid.UUID, Watcher]] = {}
        self._trades, self._quotes = self.market.trades, self.market.quotes
        self._timers = Heap()
        self._holding = False
        self._due: float = INF
        self._earliest = self._latest = 0
        self.on_time(now)

    # ── triggers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self._watchers)

    def __iter__(self) -> Iterator[Trigger]:
        return (watcher.trigger for watcher in self._watchers.values())

    def add(self, trigger: Trigger, latch: Latch | None = None) -> None:
        """From the next event on; raises BadInput for an id that is there. An id serves once, also after removal."""
        if trigger.id in self._watchers:
            raise BadInput(f"Trigger {trigger.id} is there already; replace it, or give the new one an id of its own.")
        leaves = trigger.condition.leaves()
        latch = latch or Latch()
        if len(latch.memory) != len(leaves):
            latch.memory = [None] * len(leaves)
        series = [self.market.series(leaf.series(trigger.symbol), trigger) for leaf in leaves]
        watcher = Watcher(trigger, latch, series, tracks_of(series))
        self._watchers[trigger.id] = watcher
        for each in series:
            each.users += 1
        for fact in _facts(trigger):
            self._by_fact.setdefault(fact, {})[trigger.id] = watcher
        self._unsettle(watcher)

    def replace(self, trigger: Trigger) -> None:
        """The rule of that id is another now: it waits anew, its firings are counted on. NotFound if not there."""
        latch = self.remove(trigger.id)
        self.add(trigger, Latch(fired=latch.fired, last_fired=latch.last_fired))

    def remove(self, trigger: uuid.UUID) -> Latch:
        """Takes it out, and hands over its latch; raises NotFound."""
        watcher = self._watcher(trigger)
        del self._watchers[trigger]
        watcher.keep_mark()
        watcher.stamp += 1
        for series in watcher.series:
            series.users -= 1
        for fact in _facts(watcher.trigger):
            del self._by_fact[fact][trigger]
        self.market.drop(watcher.series)
        return watcher.latch  # type: ignore[no-any-return]

    def latch(self, trigger: uuid.UUID) -> Latch:
        """A copy of what a trigger has lived through; raises NotFound."""
        watcher = self._watcher(trigger)
        for track in watcher.tracks:
            track.watch.tell()
        found = read_latch(watcher.latch.as_dict())
        if watcher.group is not None:
            found.memory = [watcher.group.mark]
        return found

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_trade(self, tick: TradeTick) -> list[Firing]:
        """What a trade fires, by trigger id."""
        watch = self._trades.get(tick.symbol)
        if watch is None:
            return NONE
        if watch.lo < tick.price < watch.hi and self._earliest < tick.at < self._latest:
            watch.tick = tick
            return NONE
        if not 0 < tick.price < INF or not 0 <= tick.size < INF:
            self.refused["bad_price"] += 1
            return NONE
        return self._look(watch, tick)

    def on_quote(self, tick: QuoteTick) -> list[Firing]:
        """What a quote fires, by trigger id."""
        watch = self._quotes.get(tick.symbol)
        if watch is None:
            return NONE
        if watch.lo < tick.bid <= tick.ask < watch.hi and self._earliest < tick.at < self._latest:
            watch.tick = tick
            return NONE
        if not 0 < tick.bid <= tick.ask < INF:
            self.refused["bad_price"] += 1
            return NONE
        return self._look(watch, tick)

    def on_time(self, now: int) -> list[Firing]:
        """The clock, ns since 1970, and what it fires. It never runs backwards."""
        if now <= self.now:
            self.refused["clock_back"] += now < self.now
            return NONE
        self.now, self._earliest, self._latest = now, now - OLDEST, now + SKEW
        if now < self._due:
            return NONE
        woken: list[Watcher] = []
        while self._timers.nearest() <= now:
            self._timers.pop().wake(now, woken)
        self._due = self._timers.nearest()
        return self._judged(woken, now)

    def on_equity(self, at: int, equity: float) -> list[Firing]:
        """The account's equity, dollars, and what its drawdown from the peak fires."""
        if not 0 < equity < INF:
            self.refused["bad_equity"] += 1
            return NONE
        seen, woken = self.market, list[Watcher]()
        seen.peak = max(seen.peak, equity)
        seen.drawdown.wake((seen.peak - equity) / seen.peak * 100, woken)
        return self._judged(woken, at)

    def on_session(self, opens: int, closes: int) -> None:
        """The session's hours, ns since 1970; its triggers by time are judged at the next event."""
        if opens >= closes:
            raise BadInput(f"session: it opens at {opens} and closes at {closes}; give its hours in ns since 1970.")
        self.market.facts.session = (opens, closes)
        self._relook("session")

    def on_open(self, symbol: str, price: float | None) -> None:
        """The session's opening price, dollars; None: not known."""
        self._fact(self.market.facts.opens, "open", symbol, price)

    def on_entry(self, symbol: str, price: float | None) -> None:
        """The position's average price, dollars; None: nothing is held."""
        self._fact(self.market.facts.entries, "entry", symbol, price)

    def hold_entries(self, holding: bool) -> None:
        """Whether triggers that buy wait; each is judged anew when they need not any more."""
        if self._holding and not holding:
            for watcher in self._watchers.values():
                if watcher.trigger.buys:
                    self._unsettle(watcher)
        self._holding = holding

    # ── judging ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look(self, watch: Watch, tick: Tick) -> list[Firing]:
        if not self._earliest < tick.at < self._latest:
            self.refused["future" if tick.at >= self._latest else "stale"] += 1
            return NONE
        watch.tell()
        woken: list[Watcher] = []
        for track in watch.tracks:
            price = price_of(tick, track.source)
            if not track.accept(price, tick.at):
                self.refused["held_back"] += 1
                continue
            track.wake(price, woken)
            for series in track.derived:
                if (value := series.fed(track, tick)) is not None:
                    series.wake(value, woken)
        firings = self._judged(woken, tick.at) if woken else NONE
        watch.bound()
        return firings

    def _judged(self, woken: list[Watcher], at: int) -> list[Firing]:
        found = [firing for watcher in woken if (firing := self._judge(watcher, at)) is not None]
        return sorted(found, key=lambda firing: firing.trigger.id) if found else NONE

    def _judge(self, watcher: Watcher, at: int) -> Firing | None:
        """One trigger, now; it sleeps again, or for ever."""
        trigger, latch, firing = watcher.trigger, watcher.latch, None
        if latch.done or (trigger.expires is not None and self.now >= trigger.expires):
            return None
        for track in watcher.tracks:
            track.watch.tell()
        armed, judged = latch.armed, self._answers(watcher)
        holds = self._arm(watcher, judged)
        cool = 0 if latch.last_fired is None else latch.last_fired + round(trigger.cooldown * SECOND)
        if holds and self.now >= cool and self._fresh(watcher) and not (self._holding and trigger.buys):
            firing = self._fire(watcher, at)
        if firing is not None or any(each.holds for each in judged):  # a moment has passed, a trail begins anew
            armed, judged = latch.armed, self._answers(watcher)
            holds = self._arm(watcher, judged)
        if latch.armed is not armed:  # other values count now
            judged = self._answers(watcher)
        if not latch.done:
            self._settle(watcher, judged, holds, cool)
        return firing

    def _answers(self, watcher: Watcher) -> list[Judged]:
        """Each leaf's answer; the latch remembers what they remember."""
        trigger, memory, found = watcher.trigger, watcher.latch.memory, []
        for n, leaf in enumerate(watcher.leaves):
            value = self.now if watcher.series[n] is self.market.clock else watcher.series[n].value
            if value is None:
                found.append(UNKNOWN)
                continue
            seen = Seen(value, memory[n], self.market.facts, trigger.symbol, trigger.hysteresis, watcher.latch.armed)
            found.append(leaf.judge(seen))
            memory[n] = found[-1].memory
        return found

    def _arm(self, watcher: Watcher, judged: list[Judged]) -> bool:
        """Arms one whose condition lingers no more; whether it is armed and its condition holds."""
        condition, latch = watcher.trigger.condition, watcher.latch
        if not latch.armed and not condition.combine(iter([each.lingers for each in judged])):
            latch.armed = True
        return bool(latch.armed and condition.combine(iter([each.holds for each in judged])))

    def _fresh(self, watcher: Watcher) -> bool:
        oldest = self.now - round(watcher.trigger.max_age * SECOND)
        return all(track.at >= oldest for track in watcher.tracks)

    def _fire(self, watcher: Watcher, at: int) -> Firing:
        trigger, latch = watcher.trigger, watcher.latch
        latch.fired, latch.last_fired, latch.armed = latch.fired + 1, self.now, False
        latch.done = trigger.mode == "once"
        for n, leaf in enumerate(watcher.leaves):
            if isinstance(leaf, Trailing):
                latch.memory[n] = watcher.series[n].value
        price = watcher.tracks[0].value if watcher.tracks else None
        return Firing(firing_id(trigger.id, latch.fired), trigger, latch.fired, trigger.symbol, price, at)

    # ── sleeping ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, watcher: Watcher, judged: list[Judged], holds: bool, cool: float) -> None:
        """It sleeps until something can change."""
        trigger, latch = watcher.trigger, watcher.latch
        if trigger.expires is not None:
            self._wake_at(watcher, trigger.expires)
        if holds and self.now < cool:
            self._wake_at(watcher, cool)
        elif holds:  # it waits for a fresh tick
            for track in watcher.tracks:
                track.show_next(watcher)
        if watcher.trails is not None and latch.armed and not holds and latch.memory[0] is not None:
            watcher.tracks[0].trail(watcher, latch.memory[0])
            return
        for series, answer in zip(watcher.series, judged, strict=True):
            if series is self.market.clock:
                self._wake_at(watcher, answer.high)
            elif series.value is None:
                series.show_next(watcher)
            else:
                series.sleep(watcher, answer.low, answer.high)

    def _unsettle(self, watcher: Watcher) -> None:
        """It is judged at the next event of any kind that concerns it."""
        watcher.keep_mark()
        watcher.stamp += 1
        for series in {*watcher.series, *watcher.tracks}:
            series.show_next(watcher)
        self._wake_at(watcher, 0)

    def _wake_at(self, watcher: Watcher, instant: float) -> None:
        if instant < INF:
            self._timers.push(instant, watcher)
            self._due = min(self._due, instant)

    def _fact(self, facts: dict[str, float], basis: str, symbol: str, price: float | None) -> None:
        if price is not None and not 0 < price < INF:
            raise BadInput(f"{symbol}: {price!r} is no price; give dollars above zero, or None where it is not known.")
        facts.pop(symbol, None)
        if price is not None:
            facts[symbol] = price
        self._relook(f"{basis} {symbol}")

    def _relook(self, fact: str) -> None:
        for watcher in self._by_fact.get(fact, {}).values():
            self._unsettle(watcher)

    def _watcher(self, trigger: uuid.UUID) -> Watcher:
        if (found := self._watchers.get(trigger)) is None:
            raise NotFound(f"Trigger {trigger} is not in the book; `quaestor triggers` lists those that are.")
        return found

    # ── restart ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> dict[str, Any]:
        """All that happened, as JSON has it; the triggers themselves are stored where they were written."""
        latches = {str(id_): self.latch(id_).as_dict() for id_ in self._watchers}
        return {"now": self.now, "market": self.market.as_dict(), "latches": latches}

    def rescaled(self, splits: Iterable[Split]) -> TriggerBook:
        """A book after splits, to be made before their session opens; raises BadInput where one lost its meaning."""
        book = self
        for split in splits:
            kept, ratio = book.dump(), float(split.ratio)
            rescale(kept["market"], split.symbol, ratio)
            for each in book:
                memory = kept["latches"][str(each.id)]["memory"]
                for n, leaf in enumerate(each.condition.leaves()):
                    if each.symbol == split.symbol and isinstance(leaf, Trailing) and memory[n] is not None:
                        memory[n] /= ratio
            book = restored([each.rescaled(split) for each in book], kept)
        return book


def restored(triggers: Iterable[Trigger], kept: dict[str, Any]) -> TriggerBook:
    """The book as it was when `kept` was dumped; a trigger that has no latch there is new."""
    book = TriggerBook(kept["now"])
    book.market.restore(kept["market"])
    for trigger in triggers:
        latch = kept["latches"].get(str(trigger.id))
        book.add(trigger, None if latch is None else read_latch(latch))
    return book


def _facts(trigger: Trigger) -> set[str]:
    """Which facts its levels depend on."""
    leaves = trigger.condition.leaves()
    moved = {f"{leaf.basis} {trigger.symbol}" for leaf in leaves if isinstance(leaf, Moved)}
    return moved | {"session" for leaf in leaves if isinstance(leaf, SessionTime)}
