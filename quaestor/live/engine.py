"""The live run's engine: a fold over its events. It performs nothing, waits for nothing, asks nobody for the time.

    ticks ──▶ last prices ──▶ bars ──a bar closes──▶ strategies ──target──┐
          └─▶ triggers ──────────────a rule fires──▶ its action ──────────┴─▶ gate ──▶ Place | Refuse

Each event is worked off whole before the next. Within a batch of ticks the order is the feed's; what a tick closes is
seen before what it fires. Rules fire while a session is on, at no other time. Bars of a minute close when the first
tick of the next one comes, or by the clock. What was placed counts at once (`standing`), so that two rules that fire at
the same tick do not sell the same share.

The state is a fold over the events: `dump` and a `Setup` that carries it go on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from quaestor.barring import GRACE, Barring, Correction, Grid, LiveBar
from quaestor.config import RiskSection
from quaestor.errors import BadInput
from quaestor.judging import Candidate, judge
from quaestor.latches import FLATTEN
from quaestor.live.acts import Act, Fired, Notify, Place, Refuse, Run, Signalled, Stop
from quaestor.live.events import (
    Clock,
    Event,
    Filled,
    History,
    Latched,
    Limits,
    Missed,
    Moved,
    Player,
    Rules,
    Session,
    Setup,
    Signals,
    Ticks,
    Told,
)
from quaestor.live.ordering import fired, wanted
from quaestor.live.standing import Standing, instant
from quaestor.orders import SELL, at_once
from quaestor.ports import Run as Decider
from quaestor.ports import StoredSignal
from quaestor.risk import Refusal
from quaestor.splits import Split
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers import (
    Alert,
    Firing,
    Flatten,
    Halt,
    RunDeployment,
    Trigger,
    TriggerBook,
    read_latch,
    read_trigger,
    restored,
)

MINUTE = "1m"
AGAIN = 300 * SECOND  # after which an entry that was refused is tried again; an exit is each second
WAITING = frozenset({"unknown_exit", "duplicate", "reduce_only", "halted", "session_closed", "symbol_unknown"})
Find = Callable[[str, Mapping[str, Any]], Any]  # a strategy by name and parameters, as `Catalogue.build` gives it


class Part(msgspec.Struct, gc=False):
    """A live strategy at work: what it is, its followers by symbol, the bars that would teach them anew."""

    player: Player
    strategy: LiveStrategy
    followers: dict[str, Follower]
    recent: dict[str, deque[LiveBar]]
    targets: dict[str, float]


class Engine:
    """Decides. `find` builds strategies; nothing else comes from outside the events."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self.now = 0
        self.setup: Setup | None = None
        self.book = TriggerBook()
        self.last: dict[str, float] = {}
        self.quotes: dict[str, QuoteTick] = {}
        self.standing = Standing(self.last, self.quotes)
        self.bars = Barring(())
        self.closed: list[LiveBar | Correction] = []  # of the newest event, for whoever keeps bars
        self._limits = RiskSection()
        self._decider = Decider()
        self._weights: dict[str, float] = {}  # sleeves by strategy
        self._parts: dict[str, Part] = {}
        self._by_frame: dict[str, list[Part]] = {}
        self._listeners: dict[str, list[tuple[Part, Follower]]] = {}
        self._told_no: dict[tuple[str, str], tuple[float, str, int]] = {}
        self._owed: dict[uuid.UUID, Firing] = {}  # exits that a rule asked for and that have to wait (law 5)
        self._sent: dict[uuid.UUID, set[uuid.UUID]] = {}  # orders that those rules have sent before
        self._unmet: dict[tuple[str, str], StoredSignal] = {}  # targets that wait for an order of theirs to end
        self._opened: set[str] = set()
        self._second = 0
        self.cursor = 0  # of the changes of triggers that are in the book
        self._acts: list[Act] = []
        self._handlers: dict[type, Callable[[Any], list[Act]]] = {
            Setup: self._on_setup,
            Session: self._on_session,
            Limits: self._on_limits,
            Rules: self._on_rules,
            Told: self._on_told,
            Filled: self._on_filled,
            Moved: self._on_moved,
            Latched: self._on_latched,
            Clock: self._on_clock,
            Ticks: self._on_ticks,
            History: self._on_history,
            Missed: self._on_missed,
            Signals: self._on_signals,
        }

    def on(self, event: Event) -> list[Act]:
        """What follows from an event, in this order."""
        if (handle := self._handlers.get(type(event))) is None:
            raise TypeError(f"No engine knows of {type(event).__name__}.")
        return handle(event)

    # ── what runs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_setup(self, event: Setup) -> list[Act]:
        self.setup, self.now, self.cursor = event, event.now, event.cursor
        self._weights = {player.name: player.weight for player in event.players}
        self._limits = RiskSection.model_validate(event.limits)
        self._decider = Decider(None, event.commit, event.config_digest)
        for player in event.players:
            built = self._find(player.name, player.parameters)
            if built.digest != player.digest:
                raise BadInput(
                    f"Strategy {player.name!r} is another than the run used ({built.version}, then {player.version}). "
                    "Check out the commit that it ran with."
                )
            if isinstance(built.strategy, LiveStrategy):
                self._add(player, built.strategy)
        triggers = [read_trigger(each) for each in event.triggers]
        kept = event.kept or {}
        if "book" in kept:
            self._restore(kept, triggers)
        else:
            self.book = TriggerBook(event.now)
            for trigger in triggers:
                latch = kept.get("latches", {}).get(str(trigger.id))
                self.book.add(trigger, None if latch is None else read_latch(latch))
        return []

    def _on_session(self, event: Session) -> list[Act]:
        self._tick_over(event.now)
        before = self.standing.session
        fresh = before is None or before.session != event.session
        known = () if before is None or fresh else before.splits  # a session may be told again
        splits = [Split(each[0], event.session, Fraction(*each[1:])) for each in event.splits if each not in known]
        self.standing.session = event
        self.standing.worth.renew()
        if splits:
            self._rescale(splits)
        if fresh:
            self.bars = self._barring(event)
            self._opened = set()
            self.last.clear()
            self.quotes.clear()
        self.book.on_session(event.opens, event.closes)
        self.book.hold_entries(event.entries_wait)
        return self._done()

    def _on_limits(self, event: Limits) -> list[Act]:
        self._tick_over(event.now)
        self._limits = RiskSection.model_validate(event.limits)
        self._decider = Decider(None, self._decider.commit, event.config_digest)
        self._told_no.clear()
        return self._done()

    def _on_rules(self, event: Rules) -> list[Act]:
        self._tick_over(event.now)
        self.cursor = max(self.cursor, event.cursor)
        there = {trigger.id: trigger for trigger in self.book}
        for each in event.put:
            trigger = read_trigger(each)
            if there.get(trigger.id) == trigger:  # after a split, the store tells what we know by ourselves
                continue
            if trigger.id in there:
                self.book.replace(trigger)
            else:
                self.book.add(trigger)
        for name in event.removed:
            if name in there:
                self.book.remove(name)
        return self._done()

    # ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_told(self, event: Told) -> list[Act]:
        self._tick_over(event.now)
        before = {each.symbol for each in self.standing.held.values()}
        self.standing.tell(event.account)
        after = self.standing.entries()
        for symbol in before | after.keys():
            self.book.on_entry(symbol, after.get(symbol))
        return self._done()

    def _on_filled(self, event: Filled) -> list[Act]:
        self._tick_over(event.now)
        self.standing.fill(event)
        self.book.on_entry(event.symbol, self.standing.entry(event.symbol))
        return self._done()

    def _on_moved(self, event: Moved) -> list[Act]:
        self._tick_over(event.now)
        self.standing.move(event)
        return self._done()

    def _on_latched(self, event: Latched) -> list[Act]:
        self._tick_over(event.now)
        self.standing.latches = event.latches
        return self._done()

    # ── the market ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_clock(self, event: Clock) -> list[Act]:
        self._tick_over(event.now)
        return self._done()

    def _on_ticks(self, event: Ticks) -> list[Act]:
        self._tick_over(event.now)
        last, quotes, listeners, opened = self.last, self.quotes, self._listeners, self._opened
        moved = self.standing.worth.moved.add
        take, on_trade, on_quote = self.bars.take, self.book.on_trade, self.book.on_quote
        if not self._is_on():
            self._overhear(event.ticks)
            return self._done()
        for tick in event.ticks:
            symbol = tick.symbol
            if type(tick) is TradeTick:
                last[symbol] = tick.price
                moved(symbol)
                if symbol not in opened:
                    self._open(tick)
                if closed := take(tick):
                    self._close(closed)
                if firings := on_trade(tick):
                    self._fire(firings, tick.at)
            else:
                quotes[symbol] = tick  # type: ignore[assignment] # it is no trade
                if firings := on_quote(tick):  # type: ignore[arg-type]
                    self._fire(firings, tick.at)
            if symbol in listeners:
                self._listen(tick)
        return self._done()

    def _on_history(self, event: History) -> list[Act]:
        for bar in event.bars:
            for part in self._by_frame.get(bar.timeframe, ()):
                self._teach(part, bar)
        return []

    def _on_missed(self, event: Missed) -> list[Act]:
        self._tick_over(event.now)
        for tick in event.ticks if self._is_on() else ():
            if firings := self.book.on_trade(tick):
                self._fire(firings, 0)
        return self._done()

    def _on_signals(self, event: Signals) -> list[Act]:
        self._tick_over(event.now)
        exits_first = sorted(event.signals, key=lambda signal: (signal.target > 0, signal.strategy, signal.symbol))
        for signal in exits_first:
            self._want(signal, 0)
        return self._done()

    # ── restart ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> dict[str, Any]:
        """All that a successor needs, as JSON has it; the account comes from the books."""
        session = self.standing.session
        return {
            "cursor": self.cursor,
            "second": self._second,
            "owed": [_written(firing) for firing in self._owed.values()],
            "sent": {str(name): sorted(map(str, refs)) for name, refs in self._sent.items()},
            "unmet": msgspec.to_builtins(list(self._unmet.values())),
            "refused": [[*key, *said] for key, said in self._told_no.items()],
            "book": self.book.dump(),
            "bars": self.bars.dump(),
            "session": None if session is None else msgspec.to_builtins(session),
            "opened": sorted(self._opened),
            "last": self.last,
            "quotes": {symbol: msgspec.to_builtins(tick) for symbol, tick in self.quotes.items()},
            "parts": {
                name: {
                    "targets": part.targets,
                    "recent": {symbol: msgspec.to_builtins(list(bars)) for symbol, bars in part.recent.items()},
                }
                for name, part in self._parts.items()
            },
        }

    def has_seen(self, strategy: str) -> bool:
        """Whether a live strategy was ever shown a bar."""
        part = self._parts.get(strategy)
        return part is not None and bool(part.recent)

    def successor(self) -> Setup | None:
        """What this run began with, made what it would begin with now; None before it began."""
        if self.setup is None:
            return None
        rules = tuple(trigger.as_dict() for trigger in self.book)
        limits = self._limits.model_dump(mode="json")
        return msgspec.structs.replace(
            self.setup, now=self.now, triggers=rules, limits=limits, kept=self.dump(), cursor=self.cursor
        )

    def _restore(self, kept: Mapping[str, Any], triggers: Sequence[Trigger]) -> None:
        self.book = restored(triggers, dict(kept["book"]))
        if kept["session"] is not None:
            session = msgspec.convert(kept["session"], Session)
            self.standing.session = session
            self.book.hold_entries(session.entries_wait)
            self.bars = self._barring(session)
            with contextlib.suppress(BadInput):  # of other timeframes: the bars that are open begin anew
                self.bars.restore(kept["bars"])
        self._opened, self._second = set(kept["opened"]), kept["second"]
        self._told_no = {(strategy, symbol): tuple(said) for strategy, symbol, *said in kept["refused"]}
        self._owed = {firing.id: firing for firing in map(_read, kept["owed"])}
        self._sent = {uuid.UUID(name): {uuid.UUID(ref) for ref in refs} for name, refs in kept["sent"].items()}
        unmet = msgspec.convert(kept["unmet"], list[StoredSignal])
        self._unmet = {(signal.strategy, signal.symbol): signal for signal in unmet}
        self.last.update(kept["last"])
        self.quotes.update({symbol: msgspec.convert(tick, QuoteTick) for symbol, tick in kept["quotes"].items()})
        for name, state in kept["parts"].items():
            if (part := self._parts.get(name)) is not None:
                for bar in msgspec.convert([each for bars in state["recent"].values() for each in bars], list[LiveBar]):
                    self._teach(part, bar)
                part.targets.update(state["targets"])

    def _rescale(self, splits: Sequence[Split]) -> None:
        for split in splits:
            self._drop_meaningless(split)
            self.book = self.book.rescaled([split])
            for part in self._parts.values():
                bars = [_split(bar, float(split.ratio)) for bar in part.recent.pop(split.symbol, ())]
                part.followers.pop(split.symbol, None)
                for bar in bars:
                    self._teach(part, bar)

    def _drop_meaningless(self, split: Split) -> None:
        """Rules that a split leaves without meaning go; a person hears of each."""
        for trigger in list(self.book):
            try:
                trigger.rescaled(split)
            except BadInput as error:
                self.book.remove(trigger.id)
                title = f"{trigger.symbol}: a trigger was removed by the split of {split.session}"
                self._acts.append(Notify(trigger.id, title, str(error), urgent=True))

    # ── ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self, player: Player, strategy: LiveStrategy) -> None:
        part = Part(player, strategy, {}, {}, {})
        self._parts[player.name] = part
        self._by_frame.setdefault(strategy.timeframe, []).append(part)
        for symbol in self.setup.symbols if self.setup else ():
            self._follower(part, symbol)

    def _barring(self, session: Session) -> Barring:
        frames = dict.fromkeys([MINUTE, *self._by_frame])
        return Barring([Grid.of(frame, [session.session]) for frame in frames], GRACE)

    def _tick_over(self, now: int) -> None:
        """It is that time: bars that are over close, rules that waited for it fire."""
        self.closed.clear()
        self.now = max(now, self.now)
        is_on = self._is_on()
        if is_on and (firings := self.book.on_time(self.now)):
            self._fire(firings, 0)
        if self.now - self._second >= SECOND:
            self._second = self.now
            if closed := self.bars.close_until(self.now):
                self._close(closed)
            if is_on and (self._owed or self._unmet):
                self._try_again()
            if is_on and (firings := self.book.on_equity(self.now, self._equity())):
                self._fire(firings, 0)

    def _is_on(self) -> bool:
        """Whether the session is, and the account is known: rules and strategies act on nothing else."""
        session = self.standing.session
        known = self.standing.told is not None  # a rule that fired before would be spent, and nothing sent
        return known and session is not None and session.opens <= self.now < session.closes

    def _overhear(self, ticks: Iterable[Tick]) -> None:
        """Outside of a session prices are known and nothing follows from them."""
        for tick in ticks:
            if type(tick) is TradeTick:
                self.last[tick.symbol] = tick.price
                self.standing.worth.moved.add(tick.symbol)
            elif type(tick) is QuoteTick:
                self.quotes[tick.symbol] = tick

    def _equity(self) -> float:
        return float(self.standing.equity())

    def _done(self) -> list[Act]:
        acts, self._acts = self._acts, []
        return acts

    def _open(self, tick: TradeTick) -> None:
        session = self.standing.session
        if session is not None and tick.at >= session.opens:
            self._opened.add(tick.symbol)
            self.book.on_open(tick.symbol, tick.price)

    def _listen(self, tick: Tick) -> None:
        for part, follower in self._listeners[tick.symbol]:
            target = follower.on_tick(tick)
            if target is not None and part.targets.get(tick.symbol) != target:
                self._target(part, tick.symbol, float(target), "tick", tick.at, {"close": self._stands_at(tick)})

    def _stands_at(self, tick: Tick) -> float:
        """The last trade; before any, the middle of the quote."""
        last = self.last.get(tick.symbol)
        return last if last is not None else (tick.bid + tick.ask) / 2  # type: ignore[union-attr] # no trade, so a quote

    def _close(self, bars: Iterable[LiveBar | Correction]) -> None:
        for bar in bars:
            self.closed.append(bar)
            if type(bar) is not LiveBar:
                continue
            for part in self._by_frame.get(bar.timeframe, ()):
                target = self._teach(part, bar)
                if target is not None:
                    seen = {"close": bar.close, "bar_version": bar.version, "volume": bar.volume, "trades": bar.trades}
                    self._target(part, bar.symbol, float(target), bar.timeframe, bar.end, seen)

    def _teach(self, part: Part, bar: LiveBar) -> float | None:
        recent = part.recent.get(bar.symbol)
        if recent is None:
            recent = part.recent[bar.symbol] = deque(maxlen=part.strategy.warmup)
        elif recent and bar.end <= recent[-1].end:  # history told it already, or the feed did
            return None
        recent.append(bar)
        return self._follower(part, bar.symbol).on_bar(bar)

    def _follower(self, part: Part, symbol: str) -> Follower:
        found = part.followers.get(symbol)
        if found is None:
            found = part.followers[symbol] = part.strategy.follow(symbol)
            if found.wants_ticks:
                mine = [(p, f) for p, f in self._listeners.get(symbol, ()) if p is not part]
                self._listeners[symbol] = [*mine, (part, found)]
        return found

    def _target(self, part: Part, symbol: str, target: float, frame: str, at: int, seen: Mapping[str, Any]) -> None:
        """A strategy has said what it wants."""
        player = part.player
        if part.targets.get(symbol) != target:
            part.targets[symbol] = target
            self._acts.append(Signalled(player.name, symbol, frame, at, target))
        session = self.standing.session
        if session is None or self._is_settled(player.name, symbol, target):
            return
        signal = at_once(
            StoredSignal,
            strategy=player.name,
            digest=player.digest,
            version=player.version,
            parameters=player.parameters,
            symbol=symbol,
            session=session.session,
            bar_end=instant(at),
            target=target,
            revision=1,
            seen=seen,
            flow_run_id=None,
            timeframe=frame,
        )
        self._want(signal, at if frame == "tick" else 0)

    def _is_settled(self, strategy: str, symbol: str, target: float) -> bool:
        """Whether there is nothing to do about it: nothing is wanted or held, or it was refused a moment ago."""
        held = (strategy, symbol) in self.standing.held
        if target == 0 and not held and not self.standing.is_working(strategy, symbol):
            self._told_no.pop((strategy, symbol), None)
            return True
        said = self._told_no.get((strategy, symbol))
        return said is not None and said[0] == target and self.now < said[2]

    def _want(self, signal: StoredSignal, at: int) -> None:
        picture = self._picture()
        if picture is None or self.setup is None:
            return
        # To flatten: a person wants nothing held, whoever holds it.
        weights = {signal.strategy: 0.0} if signal.timeframe == FLATTEN else self._weights
        if self.standing.is_working(signal.strategy, signal.symbol):
            self._unmet[signal.strategy, signal.symbol] = signal
            return
        self._unmet.pop((signal.strategy, signal.symbol), None)
        found = wanted(self.setup.account, signal, weights, self.standing, picture, self._limits)
        if not found:
            self._told_no.pop((signal.strategy, signal.symbol), None)
            return
        self._judge(found, picture, at, signal)

    def _fire(self, firings: Iterable[Firing], at: int) -> None:
        for firing in firings:
            latch = self.book.latch(firing.trigger.id).as_dict()
            action = firing.trigger.action
            kind = str(firing.trigger.as_dict()["action"]["kind"])
            named = (firing.id, firing.trigger.id, firing.number, firing.symbol, firing.price)
            self._acts.append(Fired(*named, firing.at, kind, latch))
            match action:
                case Alert(message):
                    self._acts.append(Notify(firing.id, _title(firing), message or _title(firing)))
                case RunDeployment(name):
                    self._acts.append(Run(firing.id, name))
                case Halt(reason):
                    self._acts.append(Stop(reason or _title(firing)))
                case _:
                    self._order(firing, at)

    def _order(self, firing: Firing, at: int) -> None:
        picture = self._picture()
        if picture is None or self.setup is None:
            self._acts.append(Notify(firing.id, _title(firing), "No session is on, so nothing was sent.", urgent=True))
            return
        asked = fired(self.setup.account, firing, self.standing, picture)
        sent = self._sent.get(firing.id, set())
        asked = [each for each in asked if each.intent.ref_id not in sent]
        refused = self._judge(asked, picture, at, owed=firing)
        if any(self._waits(each) for each in refused):
            self._owed[firing.id] = firing
            self._sent[firing.id] = sent | {each.intent.ref_id for each in asked} & self.standing.working.keys()
        else:
            self._forget(firing.id)

    def _judge(
        self,
        candidates: Sequence[Candidate],
        picture: Any,
        at: int,
        signal: StoredSignal | None = None,
        owed: Firing | None = None,
    ) -> list[Refusal]:
        intents, refusals = judge(candidates, picture, self._limits, self._decider)
        if intents:
            self.standing.place(intents, self.now)
            self._acts.append(Place(tuple(intents), at))
        for refusal in refusals:
            if signal is not None:  # a strategy wants the same with each bar: that it may not is said once
                key = (signal.strategy, signal.symbol)
                before = self._told_no.get(key)
                wait = SECOND if refusal.side is SELL else AGAIN
                self._told_no[key] = (signal.target, refusal.rule, self.now + wait)
                if refusal.side is SELL:
                    self._unmet[key] = signal
                if before is not None and before[:2] == (signal.target, refusal.rule):
                    continue
            if owed is None or owed.id not in self._owed:  # that it waits is said once
                self._acts.append(Refuse((refusal,)))
        return refusals

    def _try_again(self) -> None:
        """Exits that had to wait, and targets whose order has ended."""
        for name, firing in list(self._owed.items()):
            if self._asks_in_vain(firing):
                self._forget(name)
            else:
                self._order(firing, 0)
        for key, signal in list(self._unmet.items()):
            if not self.standing.is_working(*key):
                del self._unmet[key]
                self._want(signal, 0)

    def _waits(self, refused: Refusal) -> bool:
        """Whether it is a sale of what is held that may go later."""
        held = (refused.strategy, refused.symbol) in self.standing.held
        return refused.side is SELL and refused.rule in WAITING and held

    def _forget(self, firing: uuid.UUID) -> None:
        self._owed.pop(firing, None)
        self._sent.pop(firing, None)

    def _asks_in_vain(self, firing: Firing) -> bool:
        """Whether nothing is held any more that it could sell."""
        everything = isinstance(firing.trigger.action, Flatten) and firing.trigger.action.everything
        return not self.standing.holders(None if everything else firing.symbol)

    def _picture(self) -> Any:
        return self.standing.picture(self.now, self._limits.duplicate_window)


def _title(firing: Firing) -> str:
    price = "" if firing.price is None else f" at {firing.price:g}"
    return f"{firing.symbol}: trigger fired{price}"


def _split(bar: LiveBar, ratio: float) -> LiveBar:
    prices = {name: getattr(bar, name) / ratio for name in ("open", "high", "low", "close")}
    return msgspec.structs.replace(bar, volume=bar.volume * ratio, **prices)


def _written(firing: Firing) -> dict[str, Any]:
    """As JSON has it."""
    return {**firing._asdict(), "id": str(firing.id), "trigger": firing.trigger.as_dict()}


def _read(plain: Mapping[str, Any]) -> Firing:
    return Firing(**{**plain, "id": uuid.UUID(plain["id"]), "trigger": read_trigger(plain["trigger"])})
