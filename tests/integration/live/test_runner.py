"""The live runner on real PostgreSQL: from a tick to the order, through its day, taken over, told what to do."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.bars import Bar
from quaestor.config import LiveSection, RiskSection
from quaestor.doors.alerts import LocalAlerts
from quaestor.doors.journal import JournalReader, JournalWriter
from quaestor.doors.memory.broker import Quotes
from quaestor.doors.postgres.activity import ActivityStore
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import ControlStore, LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.doors.postgres.signals import SignalStore
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.exchange import Costs
from quaestor.live.standing import instant
from quaestor.operations.decide import Mandate
from quaestor.operations.live.deck import Deck, Plan
from quaestor.operations.live.runner import Runner
from quaestor.operations.session import Floor
from quaestor.ports_live import OnBatch, OnStatus, Status
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import Above, Alert, Below, Flatten, OrderTemplate, Trigger

DAY = dt.date(2026, 11, 20)
BEFORE = calendar.previous_session(DAY)
OPENS = nanoseconds(calendar.session_open(DAY))
CLOSES = nanoseconds(calendar.session_close(DAY))
MORNING = OPENS + 30 * 60 * SECOND
SYMBOLS = ("AAPL", "IBM")
LIMITS = RiskSection(max_orders_per_minute=1000, max_quote_age=5, duplicate_window=0)


class Hand:
    """A feed that is moved by hand."""

    def __init__(self) -> None:
        self.name, self.counts = "hand", Counter[str]()
        self._ended = asyncio.Event()
        self._on_batch: OnBatch | None = None
        self.subscribed = asyncio.Event()

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        self._on_batch = on_batch
        on_status(Status("connected"))
        self.subscribed.set()
        await self._ended.wait()

    def push(self, *ticks: TradeTick | QuoteTick) -> None:
        assert self._on_batch is not None
        self._on_batch(list(ticks))

    def stop(self) -> None:
        self._ended.set()

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None: ...

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Clock:
    """Starts at an instant and runs as real time does; it can be set forward."""

    def __init__(self, at: int) -> None:
        self._base = at - time.monotonic_ns()

    def __call__(self) -> int:
        return self._base + time.monotonic_ns()

    def set(self, at: int) -> None:
        self._base = at - time.monotonic_ns()


@dataclass
class Stage:
    """Everything a runner of one account needs, and the runners that were started."""

    database: Database
    folder: Path
    clock: Clock
    feed: Hand
    account: str
    use: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: RiskSection = LIMITS
    runner: Runner | None = None
    started: list[str] = field(default_factory=list)
    reread: Callable[[], Plan | None] = lambda: None
    bars: Any = None

    def deck(self, run: uuid.UUID) -> Deck:
        bars = {
            (symbol, day): _bar(symbol, day)
            for symbol in SYMBOLS
            for day in calendar.sessions(dt.date(2026, 11, 2), BEFORE)
        }
        quotes = Quotes(bars)
        broker = PaperBroker(self.database, self.account, quotes, Costs(), clock=lambda: instant(self.clock()))
        self.alerts = LocalAlerts(self.folder / "alerts.log", console=False)
        floor = Floor(
            books=BookStore(self.database, self.account),
            activity=ActivityStore(self.database, self.account),
            signals=SignalStore(self.database),
            quotes=quotes,
            leases=LeaseStore(self.database, ttl=dt.timedelta(seconds=3)),
            control=ControlStore(self.database),
            alerts=self.alerts,
            broker=broker,
            market=broker,
        )

        async def start_flow(name: str, key: str) -> None:
            self.started.append(name)

        async def skew() -> Decimal:
            return Decimal("0.01")

        return Deck(
            floor=floor,
            live=LiveStore(self.database),
            triggers=TriggerStore(self.database),
            feed=self.feed,
            journal=JournalWriter(self.folder / str(run), run),
            find=Catalogue().build,
            settings=LiveSection(beat=0.5),
            now=self.clock,
            skew=skew,
            start_flow=start_flow,
            reread=self.reread,
            tail=self.tail,
            bars=self.bars,
            paper=broker,
        )

    def tail(self, run: uuid.UUID, after: int) -> Any:
        folder = self.folder / str(run)
        return JournalReader(folder).entries(after) if folder.is_dir() else ()

    def plan(self) -> Plan:
        built = tuple(Catalogue().build(name, parameters) for name, parameters in self.use.items())
        weights = {each.name: 0.5 for each in built}
        mandate = Mandate(self.account, SYMBOLS, weights, tuple(b.digest for b in built), self.limits, Decimal(100_000))
        return Plan(mandate, built, "abc", "d1")

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[Runner]:
        """A runner at work; it is told to stop in the end."""
        run = uuid.uuid4()
        self.feed = Hand()
        runner = self.runner = Runner(self.deck(run), self.plan(), run, f"test:{run}", **more)
        task = asyncio.create_task(runner.run())
        try:
            waiting = asyncio.create_task(self.feed.subscribed.wait())
            await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED, timeout=60)
            if task.done():
                task.result()
            await until(lambda: runner.engine.standing.told is not None, task)
            yield runner
            if not task.done():
                await LiveStore(self.database).desire(self.account, "stopped", "test")
                await asyncio.wait_for(task, 30)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await LiveStore(self.database).desire(self.account, "armed", "test")

    async def happenings(self, *kinds: str) -> list[Any]:
        found = await LiveStore(self.database).happenings(self.account, 0, 10_000)
        return [each for each in found if not kinds or each.kind in kinds]

    async def orders(self) -> list[Any]:
        return await BookStore(self.database, self.account).orders_since(BEFORE)

    def quote(self, symbol: str, price: float) -> QuoteTick:
        return QuoteTick(symbol, self.clock(), price - 0.01, price + 0.01, 500.0, 500.0)

    def trade(self, symbol: str, price: float) -> TradeTick:
        return TradeTick(symbol, self.clock(), price, 100.0)


def _bar(symbol: str, day: dt.date) -> Bar:
    price = Decimal(100)
    return Bar(symbol, day, calendar.session_close(day), price, price, price, price, 1_000_000)


async def until(held: Callable[[], Any], task: asyncio.Task[Any] | None = None, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not held():
        if task is not None and task.done():
            task.result()
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.01)


async def found(ask: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (answer := await ask()):
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)
    return answer


_accounts = (f"live{n}" for n in itertools.count())


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, tmp_path, Clock(MORNING), Hand(), next(_accounts))


def rule(symbol: str, condition: Any, action: Any, **more: Any) -> Trigger:
    return Trigger(uuid.uuid4(), symbol, condition, action, **more)


async def test_a_tick_over_a_level_buys_and_the_fill_is_booked(stage: Stage) -> None:
    store = TriggerStore(stage.database)
    buy = rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10))
    await store.put(stage.account, buy, name="breakout")
    async with stage.running() as runner:
        stage.feed.push(stage.quote("AAPL", 100.5), stage.trade("AAPL", 100.5))
        stage.feed.push(stage.quote("AAPL", 101.5), stage.trade("AAPL", 101.5))
        await until(lambda: ("triggers", "AAPL") in runner.engine.standing.held)
        assert runner.engine.standing.held["triggers", "AAPL"].quantity == 10
        (order,) = await stage.orders()
        assert order.state.value == "filled"
        assert order.intent.cause_key.startswith("trigger|")
        (firing,) = await found(lambda: store.firings(stage.account))
        assert firing.trigger == buy.id
        await found(lambda: _outcome(store, stage.account))
    kinds = Counter(each.kind for each in await stage.happenings())
    assert kinds["firing"] == kinds["order"] == 1
    assert kinds["fill"] >= 1


async def _outcome(store: TriggerStore, account: str) -> str:
    return (await store.firings(account))[0].outcome


async def put(stage: Stage, *triggers: Trigger) -> None:
    store = TriggerStore(stage.database)
    for trigger in triggers:
        await store.put(stage.account, trigger, name=f"t{trigger.id.hex[:8]}")


def up(stage: Stage, symbol: str, price: float) -> None:
    """The market of a symbol is there now."""
    stage.feed.push(stage.quote(symbol, price), stage.trade(symbol, price))


async def test_a_trigger_that_is_added_while_it_runs_fires_and_one_that_was_removed_does_not(stage: Stage) -> None:
    gone = rule("IBM", Above(101.0), OrderTemplate("buy", quantity=1))
    await put(stage, gone)
    async with stage.running() as runner:
        up(stage, "IBM", 100.0)
        await TriggerStore(stage.database).remove(stage.account, gone.id)
        await put(stage, rule("AAPL", Below(99.0), OrderTemplate("buy", quantity=3)))
        await until(lambda: [t.symbol for t in runner.engine.book] == ["AAPL"])
        up(stage, "AAPL", 100.0)
        up(stage, "IBM", 102.0)
        up(stage, "AAPL", 98.5)
        await until(lambda: ("triggers", "AAPL") in runner.engine.standing.held)
    assert [order.intent.symbol for order in await stage.orders()] == ["AAPL"]


async def test_what_the_gate_refuses_is_kept_with_its_rule_and_nothing_is_sent(stage: Stage) -> None:
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=900)))
    async with stage.running():
        up(stage, "AAPL", 101.5)
        refused = await found(lambda: stage.happenings("refusal"))
        assert refused[0].body["rule"] == "max_order_notional"
        firing = await found(lambda: _first_outcome(stage))
        assert firing == "refused: max_order_notional"
    assert await stage.orders() == []


async def _first_outcome(stage: Stage) -> str:
    firings = await TriggerStore(stage.database).firings(stage.account)
    return firings[0].outcome if firings else ""


async def test_no_tick_that_is_none_is_traded_upon(stage: Stage) -> None:
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=1)))
    async with stage.running() as runner:
        up(stage, "AAPL", 100.0)
        now = stage.clock()
        bad = [float("nan"), float("inf"), 0.0, -5.0, 5000.0]
        stage.feed.push(*(TradeTick("AAPL", now, price, 100.0) for price in bad))
        stage.feed.push(
            TradeTick("AAPL", now + 60 * SECOND, 102.0, 1.0), TradeTick("AAPL", now - 90_000 * SECOND, 102.0, 1.0)
        )
        stage.feed.push(TradeTick("NOBODY", now, 102.0, 1.0), TradeTick("AAPL", now, 102.0, float("nan")))
        await until(lambda: sum(runner.facts()["refused"].values()) >= 9)
        assert await stage.orders() == []
        assert runner.engine.last["AAPL"] == 100.0
        up(stage, "AAPL", 101.5)
        await until(lambda: ("triggers", "AAPL") in runner.engine.standing.held)


async def test_a_clock_that_lags_behind_the_feed_is_told_of_once_for_each_time(stage: Stage) -> None:
    async with stage.running() as runner:
        for count in (1, 2):
            for _ in range(2):  # beats
                seen = runner.facts()["refused"].get("tick-future", 0)
                ahead = stage.clock() + 5 * SECOND
                stage.feed.push(*(TradeTick("AAPL", ahead, 100.0, 1.0) for _ in range(20)))
                await until(lambda seen=seen: runner.facts()["refused"].get("tick-future") == seen + 20)
                await asyncio.sleep(0.6)
            told = [each for each in await stage.happenings("alert") if "clock lags" in each.subject]
            assert len(told) == count
            up(stage, "AAPL", 100.0)
            await asyncio.sleep(0.6)


async def test_while_it_holds_nothing_is_entered_exits_go_on_and_flatten_sells_all(stage: Stage) -> None:
    store = LiveStore(stage.database)
    await put(
        stage,
        rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)),
        rule("AAPL", Above(103.0), OrderTemplate("buy", quantity=10)),
        rule("AAPL", Above(104.0), OrderTemplate("sell", fraction=0.5)),
    )
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 10)
        await store.desire(stage.account, "hold", "test", "wait")
        await until(lambda: "hold" in runner.engine.standing.latches)
        up(stage, "AAPL", 103.5)
        refused = await found(lambda: stage.happenings("refusal"))
        assert refused[0].body["rule"] == "latch"
        up(stage, "AAPL", 104.5)
        await until(lambda: _held(runner, "AAPL") == 5)
        await store.desire(stage.account, "flatten", "test", "enough")
        await until(lambda: not runner.engine.standing.held)
    assert sorted(str(order.intent.quantity) for order in await stage.orders()) == ["10", "5", "5"]


def _held(runner: Runner, symbol: str) -> Decimal:
    return sum((each.quantity for each in runner.engine.standing.holders(symbol)), Decimal(0))


async def test_a_halt_by_a_person_takes_entries_back_and_is_told(stage: Stage) -> None:
    control = ControlStore(stage.database)
    template = OrderTemplate("buy", quantity=5, order_type="limit", limit_offset=-1.0)
    await put(stage, rule("AAPL", Above(101.0), template))
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: any(o.left == 5 for o in runner.engine.standing.working.values()))
        await found(lambda: stage.happenings("order"))
        await control.set_latch(stage.account, "halt", "a test")
        await until(lambda: not runner.engine.standing.working)
        (order,) = await stage.orders()
        assert order.state.value == "canceled"
        assert await found(lambda: stage.happenings("halt"))
        await control.clear_latch(stage.account, "halt", "over")


async def test_a_trigger_may_halt_alert_and_start_a_flow(stage: Stage) -> None:
    from quaestor.triggers import Halt, RunDeployment

    await put(
        stage,
        rule("AAPL", Above(101.0), Alert("look at it")),
        rule("AAPL", Above(101.0), RunDeployment("report/daily")),
        rule("AAPL", Above(102.0), Halt("too hot")),
    )
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: stage.started == ["report/daily"])
        await found(lambda: stage.happenings("alert"))
        up(stage, "AAPL", 102.5)
        await until(lambda: "halt" in runner.engine.standing.latches)
    assert "look at it" in (stage.folder / "alerts.log").read_text()
    latches = await ControlStore(stage.database).latches(stage.account)
    assert [(latch.name, latch.reason) for latch in latches] == [("halt", "too hot")]


async def test_the_session_closes_by_the_calendar_is_settled_and_the_run_ends(stage: Stage) -> None:
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)))
    async with stage.running(sessions=1) as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 10)
        up(stage, "AAPL", 103.0)
        await until(lambda: runner.engine.last["AAPL"] == 103.0)
        stage.clock.set(CLOSES + 6 * SECOND)
        (settled,) = await found(lambda: stage.happenings("settled"))
        assert settled.subject == str(DAY)
    books = BookStore(stage.database, stage.account)
    equity = await books.last_equity()
    assert equity is not None
    (fill,) = await PaperBroker(stage.database, stage.account, Quotes({}), Costs()).executions(DAY)
    assert equity.session == DAY
    assert equity.equity == Decimal(100_000) + 10 * (Decimal("103.0") - fill.price) - fill.fee
    assert (await LiveStore(stage.database).newest(stage.account)).outcome == "stopped"


async def test_a_run_that_is_ended_and_begun_again_fires_nothing_twice_and_misses_nothing(stage: Stage) -> None:
    from quaestor.triggers import Trailing

    once = rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10))
    trail = rule("AAPL", Trailing(percent=5.0), Flatten())
    later = rule("IBM", Above(101.0), OrderTemplate("buy", quantity=1))
    await put(stage, once, trail, later)
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 10)
        up(stage, "AAPL", 110.0)
        up(stage, "IBM", 100.0)
        await until(lambda: runner.engine.last["AAPL"] == 110.0)
    async with stage.running() as runner:
        assert _held(runner, "AAPL") == 10
        up(stage, "AAPL", 106.0)
        up(stage, "IBM", 101.5)
        await until(lambda: _held(runner, "IBM") == 1)
        assert _held(runner, "AAPL") == 10
        up(stage, "AAPL", 104.0)  # 5 % below 110, which the run before had seen
        await until(lambda: _held(runner, "AAPL") == 0)
    sides = Counter((order.intent.symbol, order.intent.side.value) for order in await stage.orders())
    assert sides == {("AAPL", "buy"): 1, ("AAPL", "sell"): 1, ("IBM", "buy"): 1}


async def died(stage: Stage, monkeypatch: pytest.MonkeyPatch, runner: Runner, task: asyncio.Task[Any]) -> None:
    """The run is gone, as by kill -9: nothing is written down any more; only its journal is there."""

    async def silent(*_: object) -> None:
        return

    monkeypatch.setattr(runner, "_end", silent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with stage.database.transaction() as connection:
        await connection.execute("update lease set expires_at = clock_timestamp() - interval '1 second'")


async def test_a_run_that_died_is_followed_to_its_last_moment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its marks are in its journal alone; what it decided last of all is sent by its successor, once."""
    from quaestor.triggers import Trailing

    await put(
        stage,
        rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)),
        rule("AAPL", Trailing(percent=5.0), Flatten()),
        rule("IBM", Above(101.0), OrderTemplate("buy", quantity=3)),
        rule("IBM", Above(101.0), Alert("look")),
    )
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 10)
        up(stage, "AAPL", 110.0)
        await until(lambda: runner.engine.last["AAPL"] == 110.0)
        acting = runner.course.acting
        monkeypatch.setattr(acting, "_start", lambda work: work.close())  # it dies before the commit
        monkeypatch.setattr(acting._queue, "put_nowait", lambda _: None)
        up(stage, "IBM", 101.5)
        await until(lambda: any(o.intent.symbol == "IBM" for o in runner.engine.standing.working.values()))
        (task,) = [t for t in asyncio.all_tasks() if "Runner.run" in repr(t)]
        await died(stage, monkeypatch, runner, task)
    assert [order.intent.symbol for order in await stage.orders()] == ["AAPL"]
    async with stage.running() as runner:
        await until(lambda: _held(runner, "IBM") == 3 or stage.feed.push(stage.quote("IBM", 101.5)))
        await found(lambda: _alerted(stage, "look"))
        up(stage, "AAPL", 104.0)  # 5 % below 110, which the dead run alone has seen
        await until(lambda: _held(runner, "AAPL") == 0)
    firings = await TriggerStore(stage.database).firings(stage.account)
    assert len(firings) == 4
    sides = Counter((order.intent.symbol, order.intent.side.value) for order in await stage.orders())
    assert sides == {("AAPL", "buy"): 1, ("IBM", "buy"): 1, ("AAPL", "sell"): 1}


@pytest.mark.parametrize("seconds", [60, 7200])
async def test_a_clock_that_goes_back_ends_the_run_and_the_next_one_trades_at_once(stage: Stage, seconds: int) -> None:
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=1)))
    stage.clock.set(MORNING + 3 * 3600 * SECOND)
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 1)
        stage.clock.set(stage.clock() - seconds * SECOND)
        await found(lambda: _ended(stage))
    await put(stage, rule("AAPL", Above(102.0), OrderTemplate("buy", quantity=1)))
    async with stage.running() as runner:
        up(stage, "AAPL", 102.5)
        await until(lambda: _held(runner, "AAPL") == 2, seconds=10)
    firings = await TriggerStore(stage.database).firings(stage.account)
    assert len(firings) == 2, "none fired twice"


async def _ended(stage: Stage) -> bool:
    run = await LiveStore(stage.database).newest(stage.account)
    return run is not None and run.outcome == "failed"


async def test_a_second_runner_stands_by_and_takes_over_when_the_first_is_gone(stage: Stage) -> None:
    other = Stage(stage.database, stage.folder, stage.clock, Hand(), stage.account)
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)))
    async with stage.running():
        run = uuid.uuid4()
        second = Runner(other.deck(run), other.plan(), run, "second")
        task = asyncio.create_task(second.run())
        await asyncio.sleep(0.5)
        assert not task.done()
        assert second.engine.setup is None
    await until(other.feed.subscribed.is_set, task)
    up(other, "AAPL", 101.5)
    await until(lambda: _held(second, "AAPL") == 10, task)
    await LiveStore(stage.database).desire(stage.account, "stopped", "test")
    assert await asyncio.wait_for(task, 30) == "stopped"


async def test_a_runner_that_lost_its_lease_ends_and_sends_nothing_more(stage: Stage) -> None:
    from quaestor.errors import LeaseHeld

    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)))

    async def robbed() -> None:
        async with stage.running():
            async with stage.database.transaction() as connection:
                await connection.execute("update lease set epoch = epoch + 1, holder = 'thief'")
            up(stage, "AAPL", 101.5)
            await until(lambda: False, next(t for t in asyncio.all_tasks() if "Runner.run" in repr(t)))

    with pytest.raises(LeaseHeld):
        await robbed()
    assert await stage.orders() == []


async def test_strategies_trade_when_a_bar_closes(stage: Stage) -> None:
    stage.use = {"ema_cross": {"fast": 1, "slow": 2, "share": 0.2}}
    async with stage.running() as runner:
        for minute, price in enumerate((100.0, 101.0, 102.0, 103.0)):
            up(stage, "AAPL", price)
            await until(lambda price=price: runner.engine.last.get("AAPL") == price)
            stage.clock.set(MORNING + (minute + 1) * 60 * SECOND + SECOND)
            stage.feed.push(stage.quote("AAPL", price))
            await asyncio.sleep(1.5)
        await until(lambda: ("ema_cross", "AAPL") in runner.engine.standing.held)
    signals = await stage.happenings("signal")
    assert signals[0].body["strategy"] == "ema_cross"
    (order, *_) = await stage.orders()
    assert order.intent.cause_key.startswith("AAPL|1m|2026-11-20T")
    assert order.intent.provenance == {} or order.intent.provenance["strategy"]["name"] == "ema_cross"


async def test_a_journal_that_cannot_be_written_ends_no_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(stage, rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with stage.running() as runner:
        monkeypatch.setattr("quaestor.doors.journal.writing.os.write", full)
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 10)
        await found(lambda: _alerted(stage, "the journal stopped"))


async def _alerted(stage: Stage, words: str) -> bool:
    file = stage.folder / "alerts.log"
    return file.exists() and words in file.read_text()


async def test_limits_that_change_while_it_runs_count_from_then_on(stage: Stage) -> None:
    plans: list[Plan] = []
    stage.reread = lambda: plans.pop() if plans else None
    await put(
        stage,
        rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=20)),
        rule("AAPL", Above(102.0), OrderTemplate("buy", quantity=20)),
    )
    async with stage.running() as runner:
        up(stage, "AAPL", 101.5)
        await until(lambda: _held(runner, "AAPL") == 20)
        stage.limits = RiskSection(max_order_shares=5, max_quote_age=5)
        plans.append(stage.plan())
        await found(lambda: stage.happenings("limits"))
        stage.clock.set(stage.clock() + 70 * SECOND)
        up(stage, "AAPL", 102.5)
        refused = await found(lambda: stage.happenings("refusal"))
        assert refused[0].body["rule"] == "max_order_shares"
    assert len(await stage.orders()) == 1


async def test_the_journal_of_a_run_decides_the_same_when_it_is_replayed(stage: Stage) -> None:
    from quaestor.live.engine import Engine
    from quaestor.operations.replay import replay

    stage.use = {"ema_cross": {"fast": 1, "slow": 2, "share": 0.1}}
    await put(
        stage,
        rule("AAPL", Above(101.0), OrderTemplate("buy", quantity=10)),
        rule("AAPL", Above(103.0), OrderTemplate("sell", fraction=1.0)),
    )
    async with stage.running() as runner:
        for minute, price in enumerate((100.0, 101.5, 102.0, 103.5)):
            up(stage, "AAPL", price)
            await until(lambda price=price: runner.engine.last.get("AAPL") == price)
            await asyncio.sleep(0.3)
            stage.clock.set(MORNING + (minute + 1) * 60 * SECOND + 3 * SECOND)
            await asyncio.sleep(0.3)
        journal = stage.folder / str(runner.id)
    replayed = replay(JournalReader(journal), lambda: Engine(Catalogue().build))
    assert replayed.same, replayed
    assert len(replayed.now.orders) >= 2


async def test_a_strategy_that_is_new_has_seen_what_is_stored(stage: Stage) -> None:
    """Bars as they were traded, two for one on their way: it sees them in the shares of today."""
    from fractions import Fraction

    import polars as pl

    from quaestor import bars as bars_
    from quaestor.doors.postgres.bars import BarStore
    from quaestor.ports import Batch
    from quaestor.splits import Split

    store = BarStore(stage.database)
    last, older = BEFORE, calendar.previous_session(BEFORE)
    rows = [
        {
            "symbol": "AAPL",
            "timeframe": "1m",
            "session": day,
            "ts": calendar.session_close(day) - dt.timedelta(minutes=n),
        }
        | {"open": p, "high": p, "low": p, "close": p, "volume": 100}
        for day, p in ((older, 200.0), (last, 100.0))
        for n in (0, 1)
    ]
    await store.store(
        Batch("1m", pl.DataFrame(rows, schema=bars_.schema()), "test", splits=[Split("AAPL", last, Fraction(2))])
    )
    stage.use, stage.bars = {"ema_cross": {"fast": 1, "slow": 2, "share": 0.2}}, store
    async with stage.running() as runner:
        assert runner.engine.has_seen("ema_cross")
        (seen,) = runner.engine._parts["ema_cross"].recent.values()
        assert [(bar.close, bar.volume) for bar in seen] == [(100.0, 200.0)] * 2 + [(100.0, 100.0)] * 2
