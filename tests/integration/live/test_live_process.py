"""`quaestor live run` as a process: killed again and again, fed badly, left alone: nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import signal
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from quaestor.config import RiskSection
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.doors.sim.streaming import Knobs
from quaestor.live.standing import instant
from quaestor.operations.reconcile import reconcile
from quaestor.ticks import SECOND
from quaestor.triggers import Above, Action, Alert, Below, Condition, OrderTemplate, Trigger
from tests.integration.live.live_process import (
    ACCOUNT,
    AT_NIGHT,
    LiveProcess,
    floor_of,
    live_process,
    rows,
    server,
    told,
)

SYMBOLS = ("AAPL", "IBM", "MSFT")
STEP = 0.005  # dollars by which two symbols rise from round to round
ROUNDS = 50  # of them a second
RISES = 40  # rounds in which the third symbol is up, and then down
NEVER_SENT = "orders were decided and never sent"  # the title of an alert, after the account and how many
pytestmark = pytest.mark.timeout(900)


class Market:
    """Two symbols that rise until they are told to stay, one that goes up and down, each time to a price of its own.

    It goes on whoever listens: a runner that is away misses what happens meanwhile.
    """

    def __init__(self, live: LiveProcess) -> None:
        self._live, self._begins, self.last = live, live.now(), 10**12

    @property
    def round(self) -> int:
        return min((self._live.now() - self._begins) * ROUNDS // SECOND, self.last)

    def price(self, symbol: str, _: int) -> float:
        n = self.round
        if symbol == "MSFT":
            return 101 + n // RISES / 1000 if n // RISES % 2 else 100.0
        return self.level(n)

    def level(self, n: int) -> float:
        return round(100 + n * STEP, 3)


async def put(database: Database, symbol: str, condition: Condition | float, action: Action, **more: Any) -> uuid.UUID:
    rule = Above(condition) if isinstance(condition, float) else condition
    trigger = Trigger(uuid.uuid4(), symbol, rule, action, **more)
    await TriggerStore(database).put(ACCOUNT, trigger, name=f"t{trigger.id.hex}")
    return trigger.id


async def put_ladders(database: Database, seconds: float) -> dict[uuid.UUID, float]:
    """Orders and alerts at levels that are reached in so many seconds: ten and five a second."""
    top = 100 + seconds * ROUNDS * STEP
    buys = [100 + n * 5 * STEP for n in range(1, int((top - 100) / (5 * STEP)))]
    tells = [100 + n * 10 * STEP for n in range(1, int((top - 100) / (10 * STEP)))]
    ladder = {await put(database, "AAPL", level, OrderTemplate("buy", quantity=1)): level for level in buys}
    return ladder | {await put(database, "IBM", level, Alert(f"IBM at {level:.3f}")): level for level in tells}


async def count(database: Database, what: str, **named: Any) -> int:
    return int((await rows(database, f"select count(*) as n from {what}", **named))[0]["n"])


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="three kills"), pytest.param(60, marks=pytest.mark.full, id="60 kills")]
)
async def test_a_runner_that_is_killed_again_and_again_fires_all_and_nothing_twice(
    database: Database, database_uri: str, tmp_path: Path, kills: int
) -> None:
    chance, took = random.Random(kills), list[float]()
    with live_process(tmp_path / "home", database_uri, symbols=SYMBOLS) as live:
        await live.bars(database)
        ladder = await put_ladders(database, 5 + 4 * kills)
        wave = await put(database, "MSFT", 100.5, OrderTemplate("buy", quantity=1), mode="rearm")
        market = Market(live)
        async with server(live, told(market.price, SYMBOLS), 2 * len(SYMBOLS) * ROUNDS, batch=6) as vendor:
            live.start(vendor.url)
            await _trades_on(live, database)
            for number in range(kills):
                await asyncio.sleep(chance.uniform(0.05, 2.0))
                live.kill()
                if number % 2:  # the next one dies, too, while it takes over
                    live.start(vendor.url)
                    await asyncio.sleep(chance.uniform(0.4, 1.6))
                    live.kill()
                moment, began = live.now(), time.monotonic()
                live.start(vendor.url)
                await _trades_on(live, database, moment)
                took.append(time.monotonic() - began)
            market.last = market.round + 5
            due = [trigger for trigger, level in ladder.items() if level <= market.level(market.last)]
            await live.until(lambda: _fired(database, due), f"the firing of {len(due)} triggers")
            live.stop()
    print(json.dumps({"kills": kills, "seconds_to_the_next_order": [round(each, 2) for each in took]}))
    await _check(live, database, ladder, due, wave, kills)
    assert max(took) < 30


async def _trades_on(live: LiveProcess, database: Database, since: int = 0) -> None:
    """An order that was decided after that moment."""
    what = "intent join trigger_firing f on cause_key = 'trigger|' || f.id where f.at > %(since)s"
    await live.until(lambda: count(database, what, since=instant(since)), "an order")


async def _fired(database: Database, due: list[uuid.UUID]) -> bool:
    return await count(database, "trigger_firing where trigger = any(%(due)s)", due=due) >= len(due)


async def _check(
    live: LiveProcess,
    database: Database,
    ladder: dict[uuid.UUID, float],
    due: list[uuid.UUID],
    wave: uuid.UUID,
    kills: int,
) -> None:
    store, floor = TriggerStore(database), floor_of(live, database)
    firings = await store.firings(ACCOUNT, 100_000)
    once = Counter(each.trigger for each in firings if each.trigger != wave)
    assert set(once) == set(due)
    assert set(once.values()) == {1}
    waves = [each for each in firings if each.trigger == wave]
    assert len({each.price for each in waves}) == len(waves), "a wave fired twice"
    assert sorted(each.number for each in waves) == list(range(1, len(waves) + 1))
    assert len(waves) > kills / 2

    assert [each for each in firings if each.action == "order" and each.outcome == "told"] == [], "decided blindly"

    causes = Counter(row["cause_key"] for row in await rows(database, "select cause_key from intent"))
    refused = {row["cause_key"] for row in await rows(database, "select cause_key from refusal")}
    asked = {f"trigger|{each.id}" for each in firings if each.action == "order"}
    late = {name for each in live.alerts() if NEVER_SENT in each["title"] for name in each["body"].split(", ")}
    assert set(causes.values()) == {1}
    assert set(causes) | refused <= asked
    assert len(asked - set(causes) - refused) == len(late)
    unsent = """
        select s.state, s.reason, i.cause_key, i.planned_at from intent i join order_state s using (ref_id)
        where not exists (select from paper."order" p where p.ref_id = i.ref_id)
    """
    assert await rows(database, unsent) == [], "decided, and never sent"

    heard = Counter(each["title"] + each["body"] for each in live.alerts())
    messages = {
        f"IBM at {ladder[each.trigger]:.3f}" for each in firings if each.trigger != wave and each.action == "alert"
    }
    spoken = {message: sum(n for words, n in heard.items() if message in words) for message in messages}
    assert min(spoken.values()) == 1
    twice = sum(n - 1 for n in spoken.values())
    print(
        json.dumps(
            {
                "firings": len(firings),
                "orders": len(causes),
                "refused": len(refused),
                "too_late": len(late),
                "alerts_twice": twice,
            }
        )
    )
    assert twice <= kills  # one that was sent, but not yet on record, when the runner was killed

    outcome = await reconcile(floor, RiskSection(), "the test", dt.date.min, None)
    assert outcome.ok, outcome.differences


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────────────────────

COUNTED = {
    "malformed": "frame-malformed",
    "unknown": "message-unknown-type",
    "text": "message-malformed",
    "correction": "message-no-tick",
    "nan": "tick-not-finite",
    "zero": "tick-not-positive",
    "crossed": "tick-crossed",
    "spike": "tick-spike",
    "future": "tick-future",
    "old": "tick-stale",
    "stranger": "tick-unknown-symbol",
}


async def test_whatever_comes_out_of_the_socket_the_run_stays_up_counts_it_and_trades_on_good_prices_alone(
    database: Database, database_uri: str, tmp_path: Path
) -> None:
    level = {"AAPL": 100.0, "IBM": 100.0}
    bad = {100 + 7 * n: kind for n, kind in enumerate([*COUNTED] * 2)}
    with live_process(tmp_path / "home", database_uri, feed="mute = 3") as live:
        await live.bars(database)
        for symbol in level:
            await put(database, symbol, 150.0, OrderTemplate("buy", quantity=1))
            await put(database, symbol, Below(50.0), OrderTemplate("buy", quantity=1))
        good = await put(database, "AAPL", 102.0, OrderTemplate("buy", quantity=1))
        async with server(
            live, told(lambda symbol, _: level[symbol], [*level]), 200, Knobs(bad=bad), batch=4
        ) as vendor:
            live.start(vendor.url)
            refused = await live.until(lambda: _counted(live, database, 2), "a count of each rule")
            print(json.dumps({"refused": refused}))

            live.jump = 3600 * SECOND  # the vendor's clock is an hour ahead of ours
            level["AAPL"] = 103.0
            await live.until(lambda: _counted(live, database, 30, "tick-future"), "ticks of the future")
            level["AAPL"] = 100.0
            live.jump = 0
            assert await count(database, "trigger_firing") == 0

            vendor.silent, began = True, time.monotonic()
            await live.until(lambda: _alerted(live, "feed: mute"), "an alert of the silence")
            silence = time.monotonic() - began
            vendor.silent = False
            await live.until(lambda: _alerted(live, "feed: back"), "an alert that it is over")
            mutes = len(_titles(live, "feed: mute"))

            live.process.suspend()  # as a clock that jumps looks from within
            await asyncio.sleep(4)
            live.process.send_signal(signal.SIGCONT)
            level["AAPL"] = 103.0
            await live.until(lambda: _fired(database, [good]), "the firing")
            await live.until(lambda: count(database, "intent"), "the order")
            assert await count(database, "trigger_firing") == await count(database, "intent") == 1
            assert len(_titles(live, "feed: mute")) == mutes == 1
            found = (await live.console("live", "status"))["run"]["facts"]["refused"]
            assert {rule: found[rule] >= 2 for rule in COUNTED.values()} == dict.fromkeys(COUNTED.values(), True)
        live.stop()
    print(json.dumps({"seconds_to_the_alert_of_silence": round(silence, 1)}))
    assert silence < 15


async def _counted(live: LiveProcess, database: Database, least: int, *rules: str) -> dict[str, int] | None:
    found = await rows(database, "select facts -> 'refused' as refused from live_run")
    refused: dict[str, int] = found[0]["refused"] if found and found[0]["refused"] else {}
    return refused if all(refused.get(rule, 0) >= least for rule in rules or COUNTED.values()) else None


def _titles(live: LiveProcess, words: str) -> list[str]:
    return [each["title"] for each in live.alerts() if words in each["title"]]


async def _alerted(live: LiveProcess, words: str) -> bool:
    return bool(_titles(live, words))


# ── left alone ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [pytest.param(5, id="5 s"), pytest.param(30, marks=pytest.mark.full, id="30 s")])
async def test_at_night_a_silent_feed_is_no_fault_and_the_idle_runner_costs_little(
    database: Database, database_uri: str, tmp_path: Path, seconds: int
) -> None:
    with live_process(tmp_path / "home", database_uri, at=AT_NIGHT, feed="mute = 1", beat=2.0) as live:
        await live.bars(database)
        async with server(live, told(lambda *_: 100.0, live.symbols), 1, Knobs(mute=0)) as vendor:
            live.start(vendor.url)
            await live.until(lambda: _happened(database, "subscribed"), "the feed")
            await asyncio.sleep(2)
            process = live.process
            used, began = sum(process.cpu_times()[:2]), time.monotonic()
            await asyncio.sleep(seconds)
            share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)
            memory = process.memory_info().rss / 2**20
            assert live.alerts() == []
            assert await count(database, "live_happening where subject = 'lost'") == 0
            live.stop()
    print(json.dumps({"idle_cpu_percent": round(100 * share, 2), "idle_rss_mib": round(memory, 1)}))
    assert share < 0.10
    assert memory < 300


async def _happened(database: Database, subject: str) -> int:
    return await count(database, "live_happening where subject = %(subject)s", subject=subject)
