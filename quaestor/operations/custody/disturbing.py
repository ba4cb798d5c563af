"""Disturbing a rehearsal: how each fault is brought about, and what is seen of it."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from typing import TYPE_CHECKING, Any

from quaestor.custody.rehearsals import BROKEN
from quaestor.operations.custody.rehearsed import Turn

if TYPE_CHECKING:
    from quaestor.operations.custody.rehearsing import Rehearsal

SKEW = dt.timedelta(seconds=90)
AWAY = dt.timedelta(minutes=30)
BEFORE = dt.timedelta(minutes=5)  # a refresh is due the vault goes away
FULL = dt.timedelta(minutes=5)  # that the vault takes nothing
WAIT = 600  # seconds that Robinhood wants to be left alone
LOOK = 60.0  # seconds that may pass until a keeper of the rehearsal looks again
GRACE = 60.0  # seconds in which Robinhood gives a lost answer again
STEP, TRIES = 2.0, 45  # seconds; so often
ACTS = 300.0  # seconds after a page
PAGED_WITHIN = 60.0  # seconds
PAGE = "the login is broken"


class Disturbing:
    """The faults of one rehearsal. begun: the one that goes on at a refresh; together: keepers look side by side."""

    def __init__(self, of: Rehearsal) -> None:
        self.of, self.begun, self.together = of, "", False
        self._chance = random.Random(of.plan.seed + 1)  # noqa: S311  # a story, not a secret
        self._index, self._generation, self._told = 0, 0, 0

    # ── at a refresh ──────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, due: dt.datetime) -> None:
        """Have the next fault begin when tokens are due then, or shortly before."""
        self._generation += 1
        self.begun, self.together, self._told = "", False, len(self.of.stage.pager.told)
        fault = self.of.plan.at_refresh[self._index] if self._index < len(self.of.plan.at_refresh) else ""
        before = {"vault_down": BEFORE, "clock_skew": dt.timedelta(hours=6)}.get(fault, dt.timedelta(seconds=1))
        mine = self._generation

        def begin() -> None:
            if mine == self._generation:  # else tokens were changed meanwhile, and it is kept for the next time
                self._index += 1
                self._begin(fault, due)

        self.of.clock.then(due - before, begin)

    def _begin(self, fault: str, due: dt.datetime) -> None:
        stage, clock = self.of.stage, self.of.clock
        if fault:
            self.begun = fault
            self.count(fault)
            self.of.tell(f"{fault} begins")
        match fault:
            case "reply_lost":
                stage.lose_reply(grace=GRACE)
            case "vault_down":
                self._vault_down(due - BEFORE + AWAY)
            case "vault_throttled":
                stage.vault_throttled(throttled=True)
                clock.then(due + FULL, lambda: stage.vault_throttled(throttled=False))
            case "login_throttled":
                stage.throttle_login(WAIT)
            case "two_refreshers":
                self.together = True
            case "clock_skew":
                clock.ours, clock.vaults = (self._chance.choice((SKEW, -SKEW)) for _ in range(2))
                clock.then(due + dt.timedelta(hours=18), self._right_clocks)

    def _vault_down(self, until: dt.datetime) -> None:
        self.of.stage.vault_away(away=True)
        self.of.clock.then(until, lambda: self.of.stage.vault_away(away=False))

    def _right_clocks(self) -> None:
        self.of.clock.ours = self.of.clock.vaults = dt.timedelta()

    def excuse(self, fault: str) -> float:
        """Seconds that a refresh may be later."""
        away = (AWAY - BEFORE).total_seconds() + LOOK
        known = {"vault_down": away, "login_throttled": WAIT + LOOK, "clock_skew": SKEW.total_seconds()}
        return known.get(fault, 0.0) + self.skew()

    def skew(self, fault: str = "") -> float:
        """Seconds that our clock may be ahead; that of the refresh before, too."""
        return (
            SKEW.total_seconds() * (2 if fault == "clock_skew" else 1) if "clock_skew" in self.of.plan.faults else 0.0
        )

    def told(self) -> int:
        """How often a person was told of something since the last refresh."""
        return len(self.of.stage.pager.told) - self._told

    def turned(self, turn: Turn) -> None:
        """What was seen of the fault."""
        if turn.fault in {"", "revoked_mid_order"}:
            return
        row = self.of.found.faults[turn.fault]
        row["refreshed"] = row.get("refreshed", 0) + 1
        row["requests"] = row.get("requests", 0) + turn.requests
        self.most(turn.fault, "late_seconds", turn.late)
        self.most(turn.fault, "stored_after_seconds", turn.stored)
        row["told"] = row.get("told", 0) + turn.told
        expected = 2 if turn.fault in {"reply_lost", "login_throttled"} else 1
        if turn.requests != expected:
            self.of.found.wrong.append(f"{turn.fault} at {turn.at}: {turn.requests} requests, not {expected}")

    def count(self, fault: str, **seen: Any) -> None:
        """One more of it, and what was seen."""
        row = self.of.found.faults.setdefault(fault, {"injected": 0})
        row["injected"] += 1
        row |= seen

    def most(self, fault: str, name: str, value: float) -> None:
        """The most of a kind."""
        row = self.of.found.faults[fault]
        row[name] = max(row.get(name, value), round(value, 1))

    # ── in a session ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def in_session(self, fault: str) -> None:
        """Now."""
        self.count(fault)
        self.of.tell(f"{fault} begins")
        match fault:
            case "vault_down":
                now = self.of.clock.now().replace(second=0)
                self.of.asked_at |= {now + dt.timedelta(minutes=each) for each in (3, 15, 29, 31)}
                self._vault_down(self.of.clock.now() + AWAY)
            case "revoked_mid_order":
                await self._revoked()
            case "login_throttled":
                await self._throttled()

    async def _revoked(self) -> None:
        of, fault = self.of, "revoked_mid_order"
        of.stage.revoke(mid_order=True)
        begun = of.revoked_at = of.clock.now()
        first = await of.stage.place()
        await of.clock.sleep(STEP)  # as long as a keeper may not look
        state, there = await self._resolved()
        seconds = (of.clock.now() - begun).total_seconds()
        self.most(fault, "order_there_after_seconds", seconds)
        row = of.found.faults[fault]
        row["orders"], row["at_robinhood"] = row.get("orders", 0) + 1, row.get("at_robinhood", 0) + there
        of.tell(f"the order was {first}, and is {state}; Robinhood has {there} of it")
        if first != "unknown" or there != 1 or seconds > 60:
            of.found.wrong.append(f"{fault}: the order was {first}, is {state} after {seconds:.0f} s, {there} there")
        await of.stage.settle()

    async def _resolved(self) -> tuple[str, int]:
        state, there = "unknown", 0
        for _ in range(TRIES):
            await self.of.look()
            state, there = await self.of.stage.resolve()
            if state != "unknown":
                break
            await self.of.clock.sleep(STEP)
        return state, there

    async def _throttled(self) -> None:
        of, fault = self.of, "login_throttled"
        before = of.stage.counted
        of.stage.throttle_login(WAIT)
        errors = [await of.stage.log_in() for _ in range(2)]
        for _ in range(5):
            await of.look()
            await of.pass_to(of.clock.now() + dt.timedelta(minutes=2))
        asked = of.stage.counted.asked - before.asked
        row = of.found.faults[fault]
        row["login_requests"] = row.get("login_requests", 0) + asked
        of.tell(f"{' and '.join(errors)}; {asked} request")
        of.ignore_requests()
        if errors != ["LoginThrottled"] * 2 or asked != 1:
            of.found.wrong.append(f"{fault}: {errors}, {asked} requests, not 1")

    def end(self) -> None:
        """Nothing goes wrong any more, until it is said."""
        self._generation += 1
        self._index = len(self.of.plan.at_refresh)
        self._right_clocks()
        self.of.stage.vault_away(away=False)
        self.of.stage.vault_throttled(throttled=False)

    # ── afterwards ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def break_chain(self) -> None:
        """The token is revoked, and the answer to the refresh that follows is lost for good."""
        of, stage, began = self.of, self.of.stage, time.monotonic()
        self.count(BROKEN, human_actions=0, restarted=False)
        stage.lose_reply(grace=0.0)
        stage.revoke()
        at, known, who = of.clock.now(), len(stage.pager.told), [*stage.workers, *stage.keepers]
        of.tell(f"{BROKEN} begins")
        paged = None
        for _ in range(TRIES):
            await asyncio.gather(*(each.ask() for each in stage.workers))
            await of.clock.sleep(STEP)
            await self._look()
            paged = next((when for when, title in stage.pager.told[known:] if PAGE in title), None)
            if paged is not None:
                break
        real = time.monotonic() - began  # what the machine took is no less a part of it
        row = of.found.faults[BROKEN]
        row["paged_after_seconds"] = round((paged - at).total_seconds() + real, 1) if paged else None
        if paged is None or row["paged_after_seconds"] > PAGED_WITHIN:
            of.found.wrong.append(f"{BROKEN}: a person was paged after {row['paged_after_seconds']} s")
        await self._heal(row, at)
        row["restarted"] = [*stage.workers, *stage.keepers] != who

    async def _look(self) -> None:
        for keeper in self.of.stage.keepers:
            await keeper.look()

    async def _heal(self, row: dict[str, Any], broken: dt.datetime) -> None:
        """The person acts, and all goes on."""
        of, stage = self.of, self.of.stage
        for _ in range(3):
            await of.clock.sleep(ACTS / 3)
            await self._look()
        row["human_actions"] += 1
        said, acted, began = await stage.log_in(), of.clock.now(), time.monotonic()
        of.tell(f"a person logs in: {said or 'done'}")
        good = False
        for _ in range(TRIES):
            await of.clock.sleep(STEP)  # as long as nobody may ask
            await self._look()
            good = all(await asyncio.gather(*(each.ask() for each in stage.workers)))
            if good:
                break
        real = time.monotonic() - began
        row["resumed_after_seconds"] = round((of.clock.now() - acted).total_seconds() + real, 1)
        row["trading_minutes_lost"] = -(-int((of.clock.now() - broken).total_seconds()) // 60)
        row["resumed"] = good and await self._traded()
        of.tell("trading goes on" if row["resumed"] else "trading does not go on")
        if not row["resumed"]:
            of.found.wrong.append(f"{BROKEN}: trading did not go on after a person acted {said}")

    async def _traded(self) -> bool:
        """Whether an order comes to Robinhood."""
        await self.of.stage.place()
        _, there = await self.of.stage.resolve()
        await self.of.stage.settle()
        return there == 1
