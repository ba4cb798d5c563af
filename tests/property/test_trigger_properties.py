"""The book of triggers against an oracle that knows no index: each trigger judged by itself on each event."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import (
    Above,
    Alert,
    AllOf,
    AnyOf,
    Below,
    Crossing,
    Drawdown,
    Latch,
    Moved,
    SessionTime,
    Spread,
    Trailing,
    Trigger,
    TriggerBook,
    VolatilitySpike,
    VolumeSpike,
    read_trigger,
    restored,
)

START = 1_700_000_000 * SECOND
SYMBOLS = ("AAPL", "IBM")


# ── the oracle ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Price:
    last: float | None = None
    at: int = 0
    held: float | None = None

    def believes(self, price: float, at: int, band: float) -> bool:
        for near in (self.last, self.held):
            if near is not None and abs(price - near) <= band / 100 * near:
                break
        else:
            if self.last is not None:
                self.held = price
                return False
        self.last, self.at, self.held = price, at, None
        return True


@dataclass
class Lived:
    trigger: Trigger
    armed: bool = True
    done: bool = False
    fired: int = 0
    last: int | None = None
    memory: dict[int, Any] = field(default_factory=dict)


class Oracle:
    def __init__(self) -> None:
        self.now, self.peak, self.drawdown = START, 0.0, None
        self.prices: dict[Any, Price] = {}
        self.tape: dict[Any, list[tuple[int, float, float]]] = {}
        self.lived: dict[uuid.UUID, Lived] = {}
        self.opens: dict[str, float] = {}
        self.entries: dict[str, float] = {}
        self.session: tuple[int, int] | None = None

    def keys(self, trigger: Trigger, leaf: Any) -> list[Any]:
        if isinstance(leaf, SessionTime | Drawdown):
            return []
        source = "trade" if isinstance(leaf, VolumeSpike | VolatilitySpike) else trigger.price
        symbols = [trigger.symbol, leaf.other] if isinstance(leaf, Spread) else [trigger.symbol]
        return [(symbol, source, trigger.band) for symbol in symbols]

    def all_keys(self, trigger: Trigger) -> list[Any]:
        return [key for leaf in trigger.condition.leaves() for key in self.keys(trigger, leaf)]

    def tapes(self, trigger: Trigger) -> set[Any]:
        windows = [leaf for leaf in trigger.condition.leaves() if isinstance(leaf, VolumeSpike | VolatilitySpike)]
        return {(trigger.symbol, trigger.band, leaf.series(trigger.symbol)) for leaf in windows}

    def add(self, trigger: Trigger, **kept: Any) -> None:
        self.lived[trigger.id] = Lived(trigger, **kept)
        for key in self.all_keys(trigger):
            self.prices.setdefault(key, Price())
        for key in self.tapes(trigger):
            self.tape.setdefault(key, [])

    def remove(self, id_: uuid.UUID) -> None:
        del self.lived[id_]
        used = set().union(*(self.tapes(each.trigger) for each in self.lived.values()))
        self.tape = {key: tape for key, tape in self.tape.items() if key in used}

    def tick(self, symbol: str, sources: dict[str, float], at: int, size: float | None = None) -> list[Any]:
        if not self.now - 3600 * SECOND < at < self.now + 5 * SECOND:
            return []
        believed = {
            key
            for key, price in self.prices.items()
            if key[0] == symbol and key[1] in sources and price.believes(sources[key[1]], at, key[2])
        }
        for key, tape in self.tape.items():
            if size is not None and (key[0], "trade", key[1]) in believed:
                tape.append((max(at, tape[-1][0] if tape else at), sources["trade"], size))
        return self.judge([e for e in self.lived.values() if believed & set(self.all_keys(e.trigger))], at)

    def time(self, now: int) -> list[Any]:
        if now <= self.now:
            return []
        self.now = now
        return self.judge(list(self.lived.values()), now)

    def equity(self, at: int, equity: float) -> list[Any]:
        self.peak = max(self.peak, equity)
        self.drawdown = (self.peak - equity) / self.peak * 100
        return self.judge(
            [e for e in self.lived.values() if any(isinstance(x, Drawdown) for x in e.trigger.condition.leaves())], at
        )

    def judge(self, those: list[Lived], at: int) -> list[Any]:
        found = []
        for each in sorted(those, key=lambda each: each.trigger.id):
            trigger = each.trigger
            if each.done or (trigger.expires is not None and self.now >= trigger.expires):
                continue
            holds = self.holds(each)
            keys = self.all_keys(trigger)
            fresh = all(self.prices[key].at >= self.now - trigger.max_age * SECOND for key in keys)
            cool = each.last is None or self.now >= each.last + trigger.cooldown * SECOND
            if each.armed and holds and cool and fresh:
                each.fired, each.last, each.armed, each.done = each.fired + 1, self.now, False, trigger.mode == "once"
                price = self.prices[keys[0]].last if keys else None
                found.append((trigger.id, each.fired, price, at))
                for n, leaf in enumerate(trigger.condition.leaves()):
                    if isinstance(leaf, Trailing):
                        each.memory[n] = self.prices[self.keys(trigger, leaf)[0]].last
            self.holds(each)
        return found

    def holds(self, each: Lived) -> bool:
        answers = [self.leaf(each, n, leaf) for n, leaf in enumerate(each.trigger.condition.leaves())]
        if not each.armed and not tree(each.trigger.condition, [lingers for _, lingers in answers]):
            each.armed = True
        return tree(each.trigger.condition, [holds for holds, _ in answers])

    def leaf(self, each: Lived, n: int, leaf: Any) -> tuple[bool, bool]:  # noqa: PLR0911, PLR0912
        trigger, slack = each.trigger, each.trigger.hysteresis
        prices = [self.prices[key].last for key in self.keys(trigger, leaf)]
        if isinstance(leaf, SessionTime):
            if self.session is None:
                return False, False
            opens, closes = self.session
            start = (
                closes - leaf.before_close * 60 * SECOND
                if leaf.after_open is None
                else opens + leaf.after_open * 60 * SECOND
            )
            return (start <= self.now < closes,) * 2
        if isinstance(leaf, Drawdown):
            return above(self.drawdown, leaf.percent, slack)
        if None in prices:
            return False, False
        value = prices[0]
        if isinstance(leaf, Above):
            return above(value, leaf.level, slack)
        if isinstance(leaf, Below):
            return below(value, leaf.level, slack)
        if isinstance(leaf, Moved):
            base = {
                "reference": leaf.reference,
                "open": self.opens.get(trigger.symbol),
                "entry": self.entries.get(trigger.symbol),
            }
            if base[leaf.basis] is None:
                return False, False
            return (above if leaf.percent > 0 else below)(value, base[leaf.basis] * (1 + leaf.percent / 100), slack)
        if isinstance(leaf, Crossing):
            before, each.memory[n] = each.memory.get(n), value
            up = before is not None and before < leaf.level <= value and leaf.direction != "down"
            down = before is not None and before > leaf.level >= value and leaf.direction != "up"
            reach = leaf.level * slack / 100
            return up or down, up or down or leaf.level - reach < value < leaf.level + reach
        if isinstance(leaf, Trailing):
            mark = each.memory[n] = max(value, each.memory.get(n) or 0)
            return below(value, leaf.stop(mark), slack)
        if isinstance(leaf, Spread):
            apart = prices[0] - prices[1] if leaf.measure == "difference" else prices[0] / prices[1]
            return (above if leaf.side == "above" else below)(apart, leaf.level, slack)
        tape = self.tape[trigger.symbol, trigger.band, leaf.series(trigger.symbol)]
        if not tape:
            return False, False
        if isinstance(leaf, VolatilitySpike):
            lately = [price for at, price, _ in tape if at > tape[-1][0] - leaf.seconds * SECOND]
            return above((max(lately) - min(lately)) / min(lately) * 100, leaf.percent, slack)
        length = leaf.seconds * SECOND
        last = tape[-1][0] // length
        sums = [sum(size for at, _, size in tape if at // length == last - back) for back in range(leaf.windows + 1)]
        known = last - tape[0][0] // length >= leaf.windows and sum(sums[1:]) > 0
        return above(sums[0] * leaf.windows / sum(sums[1:]) if known else 0.0, leaf.factor, slack)


def above(value: float | None, level: float, slack: float) -> tuple[bool, bool]:
    return (False, False) if value is None else (value >= level, value >= level - abs(level) * slack / 100)


def below(value: float, level: float, slack: float) -> tuple[bool, bool]:
    return value <= level, value <= level + abs(level) * slack / 100


def tree(condition: Any, answers: list[bool]) -> bool:
    if isinstance(condition, AllOf | AnyOf):
        parts = [tree(each, answers) for each in condition.conditions]
        return all(parts) if isinstance(condition, AllOf) else any(parts)
    return answers.pop(0)


# ── any triggers, any events ──────────────────────────────────────────────────────────────────────────────────────────

levels = st.integers(95, 105).map(float)
percents = st.sampled_from([1.0, 2.0, 5.0])
leaves = st.one_of(
    st.builds(Above, levels),
    st.builds(Below, levels),
    st.builds(Crossing, levels, st.sampled_from(["up", "down", "either"])),
    st.builds(Moved, st.sampled_from([-2.0, 2.0]), st.sampled_from(["open", "entry"])),
    st.builds(Moved, st.sampled_from([-2.0, 2.0]), reference=levels),
    st.builds(Trailing, percents),
    st.builds(Trailing, dollars=st.sampled_from([1.0, 3.0])),
    st.builds(SessionTime, after_open=st.integers(0, 2)),
    st.builds(SessionTime, before_close=st.integers(0, 2)),
    st.builds(VolumeSpike, st.sampled_from([1.0, 2.0]), st.sampled_from([1, 3]), st.integers(1, 3)),
    st.builds(VolatilitySpike, percents, st.sampled_from([1, 5])),
    st.builds(
        Spread,
        st.just("IBM"),
        st.integers(-3, 3).map(float),
        st.just("difference"),
        st.sampled_from(["above", "below"]),
    ),
    st.builds(
        Spread, st.just("IBM"), st.sampled_from([0.98, 1.02]), st.just("ratio"), st.sampled_from(["above", "below"])
    ),
    st.builds(Drawdown, percents),
)
trails = st.one_of(st.builds(Trailing, percents), st.builds(Trailing, dollars=st.sampled_from([1.0, 3.0])))
several = st.lists(leaves, min_size=1, max_size=3).map(tuple)
conditions = st.one_of(trails, leaves, leaves, several.map(AllOf), several.map(AnyOf))
triggers = st.builds(
    Trigger,
    id=st.integers(1, 12).map(lambda n: uuid.UUID(int=n)),
    symbol=st.sampled_from(SYMBOLS),
    condition=conditions,
    action=st.just(Alert()),
    mode=st.sampled_from(["once", "rearm", "rearm"]),
    price=st.sampled_from(["trade", "trade", "mid", "bid"]),
    hysteresis=st.sampled_from([0.0, 0.0, 1.0]),
    cooldown=st.sampled_from([0.0, 0.0, 3.0]),
    expires=st.sampled_from([None, None, START + 20 * SECOND]),
    max_age=st.sampled_from([2.0, 10.0, 10.0]),
    band=st.sampled_from([10.0, 10.0, 3.0]),
)
symbols = st.sampled_from(SYMBOLS)
near = st.integers(188, 212).map(lambda n: n / 2)
cents = st.one_of(*[near] * 9, st.sampled_from([1000.0, 990.0, 50.0]))
ages = st.sampled_from([0] * 9 + [1, 3, 90_000, -3, -10])
steps = st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]), min_size=8, max_size=30)
events = st.one_of(
    *[st.tuples(st.just("walk"), symbols, near, steps)] * 6,
    *[st.tuples(st.just("trade"), symbols, cents, st.integers(1, 9).map(float), ages)] * 16,
    *[st.tuples(st.just("quote"), symbols, cents, st.sampled_from([0.0, 0.5]), ages)] * 5,
    *[st.tuples(st.just("time"), st.sampled_from([1, 2, 30]))] * 2,
    *[st.tuples(st.just("add"), triggers)] * 3,
    st.tuples(st.just("replace"), triggers),
    st.tuples(st.just("remove"), st.integers(1, 12)),
    st.tuples(st.just("equity"), st.integers(90, 110).map(float)),
    st.tuples(st.just("open"), symbols, cents),
    st.tuples(st.just("entry"), symbols, st.one_of(st.none(), cents)),
    st.tuples(st.just("session"), st.integers(-3, 3)),
    st.tuples(st.just("restart")),
)


@settings(deadline=None)
@given(
    st.lists(triggers, min_size=3, max_size=9, unique_by=lambda t: t.id), st.lists(events, min_size=20, max_size=120)
)
def test_the_book_fires_what_each_trigger_by_itself_would_fire_whatever_is_edited_or_restarted(
    first: list[Trigger], story: list[Any]
) -> None:
    book, oracle = TriggerBook(START), Oracle()
    for event in [*(("add", each) for each in first), *story]:
        book, got, expected = happen(book, oracle, event)
        said = [(firing.trigger.id, firing.number, firing.price, firing.at) for firing in got]
        assert said == expected, event
    for each in oracle.lived.values():
        latch = book.latch(each.trigger.id)
        assert (latch.armed, latch.done, latch.fired, latch.last_fired) == (
            each.armed,
            each.done,
            each.fired,
            each.last,
        )


def happen(book: TriggerBook, oracle: Oracle, event: tuple[Any, ...]) -> tuple[TriggerBook, list[Any], list[Any]]:  # noqa: PLR0912
    match event:
        case "trade", symbol, price, size, age:
            at = oracle.now - age * SECOND
            return (
                book,
                book.on_trade(TradeTick(symbol, at, price, size)),
                oracle.tick(symbol, {"trade": price}, at, size),
            )
        case "walk", symbol, price, moves:
            got, expected = [], []
            for move in moves:
                price = max(80.0, price + move)
                _, one, other = happen(book, oracle, ("trade", symbol, price, 5.0, 0))
                got, expected = got + one, expected + other
            return book, got, expected
        case "quote", symbol, bid, wide, age:
            at, ask = oracle.now - age * SECOND, bid + wide
            quoted = {"bid": bid, "ask": ask, "mid": (bid + ask) / 2}
            return book, book.on_quote(QuoteTick(symbol, at, bid, ask, 1.0, 1.0)), oracle.tick(symbol, quoted, at)
        case "time", seconds:
            now = oracle.now + seconds * SECOND
            return book, book.on_time(now), oracle.time(now)
        case "equity", equity:
            return book, book.on_equity(oracle.now, equity), oracle.equity(oracle.now, equity)
        case "add", trigger:
            if trigger.id not in oracle.lived:
                book.add(trigger)
                oracle.add(trigger)
        case "replace", trigger:
            if (old := oracle.lived.get(trigger.id)) is not None:
                book.replace(trigger)
                oracle.remove(trigger.id)
                oracle.add(trigger, fired=old.fired, last=old.last)
        case "remove", n:
            if (id_ := uuid.UUID(int=n)) in oracle.lived:
                assert isinstance(book.remove(id_), Latch)
                oracle.remove(id_)
        case "open", symbol, price:
            book.on_open(symbol, price)
            oracle.opens[symbol] = price
        case "entry", symbol, price:
            book.on_entry(symbol, price)
            oracle.entries[symbol] = price
        case "session", minutes:
            oracle.session = (oracle.now + minutes * 60 * SECOND, oracle.now + (minutes + 3) * 60 * SECOND)
            book.on_session(*oracle.session)
        case ("restart",):
            written = json.dumps([each.as_dict() for each in book])
            kept = json.loads(json.dumps(book.dump()))
            book = restored([read_trigger(each) for each in json.loads(written)], kept)
    return book, [], []
