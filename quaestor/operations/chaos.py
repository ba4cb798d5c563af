"""Rehearse chaos: play each scenario with real processes, and judge what they leave.

    enumerate   an actor plays a stretch undisturbed and notes every point that it passes; one that takes over from a
                killed one does, too, for its recovery has points of its own
    disturb     the same stretch in a fresh copy of the market, by actors that are killed, paused, doubled, cut off …
    go on       another actor takes over, as a supervisor or an orchestrator would start it, until one ends in peace
    compare     books, broker and log with the undisturbed stretch

Nothing here knows how actors and databases are made: a `Stage` does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from quaestor.chaos import SCENARIOS, Picture, Played, Scenario, chosen, following, kind_of, labels, weight
from quaestor.errors import Permanent

T = TypeVar("T")
MUDDLES = ("twice", "reordered", "stale", "lag", "shrunk", "delay")
ERRORS = ("server_error", "bad_gateway", "throttled", "request_lost")
MOST = 40  # actors that may be needed to play a stretch to its end
PATIENCE = 120.0  # seconds for a stretch to come to its end
ROUNDS = 3  # points that were not hit are tried again so often
LANES = 2  # runs that are played side by side
AHEAD = 90.0  # seconds
AWAY = 3.0  # seconds
TAKEN_OVER = 30.0  # seconds in which a successor must have taken over, and traded
LONG = 1.0  # seconds of a lease that is waited for; a trade of the stretch takes less
KILLED = -9


class Actor(Protocol):
    """A process that trades."""

    def wait(self) -> int:
        """How it ended: its exit code, or minus the signal."""
        ...

    def await_stop(self) -> bool:
        """Wait until it has stopped itself; False when it ended instead."""
        ...

    def go_on(self) -> None:
        """Let a stopped one go on."""
        ...

    def points(self) -> list[str]:
        """The points it passed, the last one at the end, as far as it wrote them down."""
        ...

    def said(self) -> str:
        """The error that ended it; empty when none did."""
        ...


class Stage(Protocol):
    """Where scenarios are played: copies of one recorded market, actors, and a database that can be killed."""

    def fresh(self) -> str:
        """The name of a new copy of the market, before its first session."""
        ...

    def strike(self, name: str) -> None:
        """Take it down again."""
        ...

    def actor(self, name: str, **part: Any) -> Actor:
        """Start an actor in that copy; `part` are fields of `actors.Part`."""
        ...

    def picture(self, name: str) -> Picture:
        """What is there now, compared and proven."""
        ...

    @property
    def rotation(self) -> tuple[str, str, str]:
        """Sessions: where to begin, where an exit and an entry are decided, where to end."""
        ...

    def kill_database(self) -> None:
        """End the database server at once."""
        ...

    def start_database(self) -> None:
        """Start it again, where nobody has."""
        ...

    def slow_commits(self, name: str, seconds: float) -> None:
        """From now on the commit that the broker acknowledged takes that long; 0: as long as ever."""
        ...

    def await_commit(self, name: str) -> bool:
        """Wait until such a commit is under way; False when none comes."""
        ...

    def ages(self, name: str) -> tuple[float, float]:
        """How old the newest and the oldest entry of the log of orders are, in seconds by a right clock."""
        ...

    def by_hand(self, name: str) -> str:
        """Place an order at the broker that nobody here decided; its id there."""
        ...

    def halt(self, name: str) -> None:
        """Halt, as a person does."""
        ...

    def resume(self, name: str) -> None:
        """Resume."""
        ...


def quiet(words: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Rehearsal:
    """A stage with the stretch played undisturbed: what all else is compared with."""

    stage: Stage
    undisturbed: Picture
    points: Sequence[str]
    seed: int = 1
    tell: Callable[[str], None] = quiet  # how far a scenario is

    @classmethod
    def prepared(cls, stage: Stage, seed: int = 1, tell: Callable[[str], None] = quiet) -> Rehearsal:
        """Play the stretch once, in peace."""
        name = stage.fresh()
        actor = stage.actor(name)
        code, picture = actor.wait(), stage.picture(name)
        stage.strike(name)
        if code or picture.proven() or not picture.broker:
            wrong = picture.proven() or actor.said() or "no order was sent"
            raise Permanent(f"The undisturbed stretch ended with {code}: {wrong}.")
        return cls(stage, picture, actor.points(), seed, tell)

    def play(self, scenario: str, runs: int) -> Played:
        """Play one scenario, in so many runs where it has several; what cannot be played does not hold."""
        told = SCENARIOS[scenario]
        try:
            return PLAYS[scenario](self, told, runs)
        except Exception as error:  # noqa: BLE001  # whatever it is, the others are played
            return Played(told, "it could not be played to its end", [f"{type(error).__name__}: {error}"])

    # ── what scenarios are made of ────────────────────────────────────────────────────────────────────────────────────

    def to_the_end(self, name: str, **part: Any) -> list[int]:
        """Actors, one after the other, until one ends in peace; how each ended."""
        codes: list[int] = []
        end = time.monotonic() + PATIENCE
        while not codes or codes[-1] != 0:
            if len(codes) == MOST or time.monotonic() > end:
                break
            codes.append(self.stage.actor(name, **part).wait())
        return codes

    def judged(self, name: str, undisturbed: Picture | None = None) -> list[str]:
        """What is wrong with what is there; the copy is struck."""
        wrong = self.stage.picture(name).against(undisturbed or self.undisturbed)
        self.stage.strike(name)
        return wrong

    def side_by_side(self, works: Sequence[Callable[[], T]], what: str) -> list[T]:
        """Do all of them, some at a time, telling how far it is; at the first error, or a Ctrl-C, no more are begun."""
        done: list[T] = []
        with ThreadPoolExecutor(LANES) as lanes:
            try:
                for answer in [lanes.submit(work) for work in works]:
                    done.append(answer.result())
                    self.tell(f"{len(done)} of {len(works)} {what}")
            except BaseException:
                lanes.shutdown(wait=False, cancel_futures=True)
                raise
        return done

    def killed(self, victims: Sequence[str]) -> Killed:
        """One run: actors that are killed at these points (labels), one after the other; then one to the end."""
        name = self.stage.fresh()
        hit = []
        for at in victims:
            actor = self.stage.actor(name, kill_at=at)
            hit += [at] if actor.wait() == KILLED else []
        heir = self.stage.actor(name)
        codes = [heir.wait()]
        if codes[-1] != 0:
            codes += self.to_the_end(name)
        wrong = [f"killed at {' and then '.join(victims)}: {each}" for each in _ended(codes) + self.judged(name)]
        return Killed(tuple(hit), heir.points(), wrong)


@dataclass(frozen=True)
class Killed:
    """A run of killed actors: the labels of the points they died at, what the next one passed, what is wrong."""

    hit: tuple[str, ...]
    heir: Sequence[str]
    wrong: Sequence[str]


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _each_step(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    """Kill at points of the path: one of each kind, the weightiest first, then others; with enough runs, at all."""
    dice = random.Random(told.seed)  # noqa: S311  # a rehearsal, no secret
    path = labels(told.points)
    played = _kills(told, [(at,) for at in chosen(path, runs, dice)])
    hit = {at for run in played for at in run.hit}
    facts = {"kills": len(hit), "points_hit": len(hit), "runs": len(played), **_coverage(path, hit)}
    seen = (
        f"{len(hit)} kills in {len(played)} runs, at {len(facts['hit'])} of {facts['kinds']} kinds of point"
        f" and {len(hit)} of {len(path)} points"
    )
    return Played(scenario, seen, [each for run in played for each in run.wrong], facts)


def _recovering(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    """Kill one while its orders are on their way, and its successor at the points that only a recovery has.

    Which those are, is found by letting some successors live; what is left of the runs hits the rest of their way.
    """
    dice = random.Random(told.seed)  # noqa: S311  # a rehearsal, no secret
    first = _kills(told, [(at,) for at in chosen(_in_doubt(told.points), max(4, runs // 10), dice)], "lives spared")
    usual = set(told.points)
    own: dict[str, str] = {}
    pairs: dict[tuple[str, str], None] = {}
    for run in first:
        for at in run.hit:
            for then in labels(run.heir):
                if kind_of(then) not in usual:
                    own.setdefault(then, at)
                pairs[at, then] = None
    wanted = chosen(own, runs, dice, broad=True)
    others = [pair for pair in pairs if pair[1] not in wanted]
    victims = [(own[then], then) for then in wanted] + dice.sample(others, min(len(others), runs - len(wanted)))
    played = _kills(told, victims)
    for _ in range(
        ROUNDS if runs >= len({*map(kind_of, own)}) else 0
    ):  # no two runs are quite alike: a point may not come again
        struck = {kind_of(run.hit[1]) for run in played if len(run.hit) > 1}
        missed = {kind_of(then): (at, then) for at, then in dice.sample([*pairs], len(pairs)) if then in own}
        played += _kills(told, [pair for kind, pair in missed.items() if kind not in struck])
    again = [run.hit[1] for run in played if len(run.hit) > 1]
    recovering = [at for at in again if at in own]
    facts = {
        "kills": sum(len(run.hit) for run in [*first, *played]),
        "runs": len(played),
        "spared": len(first),
        "second_kills": len(again),
        "while_recovering": len(recovering),
        **_coverage(own, recovering),
        "first": sorted({kind_of(run.hit[0]) for run in [*first, *played] if run.hit}),
    }
    seen = (
        f"{facts['kills']} kills in {len(first) + len(played)} runs; {len(again)} hit a successor, {len(recovering)} "
        f"of them in its recovery, at {len(facts['hit'])} of {facts['kinds']} kinds of point that only a recovery has"
    )
    return Played(scenario, seen, [each for run in [*first, *played] for each in run.wrong], facts)


def _kills(told: Rehearsal, victims: Sequence[tuple[str, ...]], what: str = "runs") -> list[Killed]:
    return told.side_by_side([partial(told.killed, each) for each in victims], what)


def _in_doubt(points: Sequence[str]) -> list[str]:
    """Points at which an order is on its way: between the first of some sends and the commit of their answers."""
    found, doubt = [], False
    for kind, at in zip(points, labels(points), strict=True):
        doubt = (doubt or kind.endswith("before submit")) and kind != "send: after commit"
        found += [at] if doubt else []
    return found


def _coverage(path: Iterable[str], hit: Iterable[str]) -> dict[str, Any]:
    """The kinds of point on that path that were hit, and those that were not, the weightiest first."""
    kinds, struck = {kind_of(at): None for at in path}, {kind_of(at) for at in hit}
    missed = sorted((kind for kind in kinds if kind not in struck), key=weight)
    points = len({*path})
    return {"points": points, "kinds": len(kinds), "hit": sorted(struck & kinds.keys()), "missed": missed}


def _ended(codes: Sequence[int]) -> list[str]:
    return [] if codes[-1] == 0 else [f"no process came to the end: {list(codes)}"]


# ── the database ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _database(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    """Kill it before the commit that the broker took the orders, within it, and after it; and leave it away."""
    del runs
    before, within = (following(told.points, "submit", f"{word} commit") for word in ("before", "while"))
    ways = {
        "before the commit": partial(_killed_while_stopped, told, before),
        "in the commit": partial(_killed_in_commit, told),
        "after the commit, unheard": partial(_killed_while_stopped, told, within),
        f"away for {AWAY:g} s": partial(_away, told),
    }
    seen, wrong = [], []
    for way, play in ways.items():
        told.tell(way)
        codes, found = play()
        seen.append(f"{way}: ended with {', '.join(map(str, codes))}")
        wrong += [f"{way}: {each}" for each in [*found, *_ended(codes)]]
    return Played(scenario, "; ".join(seen), wrong)


def _killed_while_stopped(told: Rehearsal, at: str) -> tuple[list[int], list[str]]:
    """A writer stands at that point while the database dies."""
    name = told.stage.fresh()
    actor = told.stage.actor(name, stop_at=at)
    wrong = [] if actor.await_stop() else ["the writer ended before it came to its commit"]
    told.stage.kill_database()
    actor.go_on()
    codes = [actor.wait()]
    told.stage.start_database()
    codes += told.to_the_end(name)
    return codes, wrong + told.judged(name)


def _killed_in_commit(told: Rehearsal) -> tuple[list[int], list[str]]:
    """The server works at a commit when it dies: it is as if nobody had committed."""
    name = told.stage.fresh()
    told.stage.slow_commits(name, 1.0)
    actor = told.stage.actor(name)
    wrong = [] if told.stage.await_commit(name) else ["no commit was under way"]
    told.stage.kill_database()
    told.stage.start_database()
    told.stage.slow_commits(name, 0)
    codes = [actor.wait(), *told.to_the_end(name)]
    return codes, wrong + told.judged(name)


def _away(told: Rehearsal) -> tuple[list[int], list[str]]:
    """Nobody starts it for a while; who needs it asks again and again."""
    name = told.stage.fresh()
    actor = told.stage.actor(name, stop_at=_first(told, "submit", "after"), starts=False)
    wrong = [] if actor.await_stop() else ["the writer ended before its first order"]
    told.stage.kill_database()
    actor.go_on()
    time.sleep(AWAY)
    told.stage.start_database()
    codes = [actor.wait(), *told.to_the_end(name)]
    return codes, wrong + told.judged(name)


def _first(told: Rehearsal, what: str, when: str = "before") -> str:
    """The label of the first point at which that is done."""
    return next(at for at in labels(told.points) if kind_of(at).endswith(f": {when} {what}"))


# ── the broker ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _faulty(faults: Sequence[str], share: float) -> Callable[[Rehearsal, Scenario, int], Played]:
    def play(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
        seeds = [told.seed * 100 + number for number in range(max(2, runs // 8))]
        played = told.side_by_side([partial(_over_a_bad_line, told, faults, share, seed) for seed in seeds], "runs")
        struck, processes = sum(each[0] for each in played), sum(each[1] for each in played)
        wrong = [each for _, _, found in played for each in found]
        if not struck:
            wrong.append("no call was struck")
        seen = f"{len(played)} runs of {processes} processes; {share:.0%} of all calls: {struck} were struck"
        return Played(scenario, seen, wrong, {"struck": struck})

    return play


def _over_a_bad_line(told: Rehearsal, faults: Sequence[str], share: float, seed: int) -> tuple[int, int, list[str]]:
    """One run: calls that were struck, processes it took, what is wrong."""
    name = told.stage.fresh()
    struck, codes = 0, [-1]
    while codes[-1] != 0 and len(codes) <= MOST:
        part = {"faults": faults, "share": share, "seed": seed * MOST + len(codes)}
        actor = told.stage.actor(name, **part)
        codes.append(actor.wait())
        struck += sum(": fault " in point for point in actor.points())
    return struck, len(codes) - 1, [f"seed {seed}: {each}" for each in _ended(codes) + told.judged(name)]


# ── one writer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stolen(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    """Stop a writer between its commit and its send, and within a write; another takes over; the first wakes up."""
    del runs
    moments = {
        "before its send": _first(told, "submit"),
        "within a write": following(told.points, "ledger.insert_equity", "before commit"),
        "within a write that travels together": following(told.points, "books.move_orders", "before commit"),
    }
    works = [partial(_woken, told, at) for at in moments.values()]
    seen, wrong = [], []
    for moment, (waited, found) in zip(moments, told.side_by_side(works, "pauses"), strict=True):
        seen.append(f"paused {moment}: another one was done after {waited:.1f} s, and the woken one was fenced")
        wrong += [f"paused {moment}: {each}" for each in found]
    return Played(scenario, "; ".join(seen), wrong)


def _woken(told: Rehearsal, at: str) -> tuple[float, list[str]]:
    """Stop a writer there until another one has traded to the end; how long that took, and what is wrong."""
    name = told.stage.fresh()
    paused = told.stage.actor(name, stop_at=at)
    wrong = [] if paused.await_stop() else ["the writer ended before it could be paused"]
    begun = time.monotonic()
    codes = told.to_the_end(name)
    waited = time.monotonic() - begun
    paused.go_on()
    codes.append(paused.wait())
    if "is lost" not in paused.said() and "database" not in paused.said():
        wrong.append(f"nothing fenced the woken writer; it said: {paused.said() or 'nothing'}")
    if waited > TAKEN_OVER:
        wrong.append(f"the lease was taken over only after {waited:.0f} s")
    return waited, [*wrong, *_ended(codes), *told.judged(name)]


def _duplicated(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    del runs
    name = told.stage.fresh()
    both = [told.stage.actor(name) for _ in range(2)]
    codes = [actor.wait() for actor in both]
    codes += told.to_the_end(name)
    return Played(scenario, f"both at once ended with {codes[:2]}", _ended(codes) + told.judged(name))


def _skewed(seconds: float) -> Callable[[Rehearsal, Scenario, int], Played]:
    def play(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
        """A skewed process dies in mid-session; one with a right clock and another skewed one take over."""
        del runs
        name, path, begun = told.stage.fresh(), labels(told.points), time.monotonic()
        codes = [told.stage.actor(name, skew=seconds, kill_at=path[len(path) // 2]).wait()]
        codes += [told.stage.actor(name, kill_at=path[len(path) // 4]).wait(), *told.to_the_end(name, skew=seconds)]
        newest, oldest = told.stage.ages(name)
        wrong = [*_ended(codes), *told.judged(name)]
        if newest < -1 or oldest > time.monotonic() - begun + 1:
            wrong.append(f"the log has times from {-oldest:.0f} to {-newest:.0f} s from now")
        waited, found = _inherited(told, seconds)
        seen = (
            f"processes ended with {codes}; times of the log: {oldest:.1f} to {newest:.1f} s ago; a lease of {LONG:g} "
            f"s was taken over after {waited:.1f} s"
        )
        return Played(scenario, seen, wrong + found)

    return play


def _inherited(told: Rehearsal, seconds: float) -> tuple[float, list[str]]:
    """A skewed process waits for a paused writer's lease: as long as the database says, neither 90 s nor not at all."""
    name = told.stage.fresh()
    paused = told.stage.actor(name, stop_at=_first(told, "submit"), ttl=LONG)
    wrong = [] if paused.await_stop() else ["the writer ended before it could be paused"]
    begun = time.monotonic()
    codes = told.to_the_end(name, skew=seconds)
    waited = time.monotonic() - begun
    paused.go_on()
    codes.append(paused.wait())
    if waited < LONG / 2:
        wrong.append(f"a lease of {LONG:g} s was taken over after {waited:.1f} s")
    if waited > AHEAD / 2:
        wrong.append(f"a lease of {LONG:g} s was waited for as long as {waited:.0f} s")
    return waited, [*wrong, *_ended(codes), *told.judged(name)]


# ── the log's disk, and people ────────────────────────────────────────────────────────────────────────────────────────


def _disk_full(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    del runs
    name = told.stage.fresh()
    actor = told.stage.actor(name, stop_at=_first(told, "submit"), ttl=30.0, alerts="/dev/full", reconcile=True)
    if not actor.await_stop():
        return Played(scenario, "the writer ended before its first order", ["it sent nothing"])
    placed = told.stage.by_hand(name)
    actor.go_on()
    codes = [actor.wait()]
    picture = told.stage.picture(name)
    wrong = [*_ended(codes), *picture.proven()]
    adopted = [row for row in picture.orders if row.endswith(f" {placed}")]
    theirs = [row for row in picture.broker if row.startswith(f"{placed} ")]
    if len(adopted) != 1 or " filled " not in adopted[0] or " filled " not in theirs[0]:
        wrong.append(f"the order {placed} placed by hand is {theirs} at the broker, and here {adopted}")
    wrong += [f"stopped: {name}" for name in picture.latches]
    wrong += [f"order {row} is missing" for row in set(told.undisturbed.orders) - set(picture.orders)]
    told.stage.strike(name)
    seen = f"adopted: {' '.join(adopted)}; stops: {', '.join(picture.latches) or 'none'}"
    return Played(scenario, seen, wrong)


def _halted(told: Rehearsal, scenario: Scenario, runs: int) -> Played:
    """Halt while a writer stands between decision and first send, and while an entry is on its way."""
    del runs
    start, middle, _ = told.stage.rotation
    name = told.stage.fresh()
    actor = told.stage.actor(name, start=start, end=middle)
    codes, points = [actor.wait()], actor.points()
    told.stage.strike(name)
    moments = {
        "before the first send": following(points, "books.insert_decision", "after commit"),
        "with an entry on its way": [at for at in labels(points) if kind_of(at).endswith(": before submit")][-1],
    }
    seen, wrong = [], _ended(codes)
    works = [partial(_halted_at, told, at) for at in moments.values()]
    for moment, (said, found) in zip(moments, told.side_by_side(works, "halts"), strict=True):
        seen.append(f"halted {moment}: {said}")
        wrong += [f"halted {moment}: {each}" for each in found]
    return Played(scenario, "; ".join(seen), wrong)


def _halted_at(told: Rehearsal, at: str) -> tuple[str, list[str]]:
    """Stop a writer there, halt, let it end its session; resume, and trade to the end. What was seen and is wrong."""
    start, middle, end = told.stage.rotation
    name = told.stage.fresh()
    paused = told.stage.actor(name, start=start, end=middle, stop_at=at, ttl=30.0)
    wrong = [] if paused.await_stop() else ["the writer ended before the halt"]
    told.stage.halt(name)
    paused.go_on()
    codes = [paused.wait()]
    halted = told.stage.picture(name)
    exits, entries = (_of(halted.orders, middle, side) for side in (" sell ", " buy "))
    wrong += [f"this exit did not fill: {row}" for row in exits if " filled " not in row]
    wrong += [f"this entry filled: {row}" for row in entries if row.split()[-2] != "0"]
    if not exits or not entries or "halt" not in halted.latches:
        wrong.append(f"{len(exits)} exits, {len(entries)} entries, latched: {halted.latches}")
    told.stage.resume(name)
    codes += told.to_the_end(name, start=start, end=end)
    ended = told.stage.picture(name)
    later = [row for row in ended.orders if row.split()[1] > middle and " buy " in row and " filled " in row]
    if not later or ended.latches or not ended.equity[-1].startswith(end):
        wrong.append(f"after the resume: {len(later)} entries, latched: {ended.latches}, up to {ended.equity[-1]}")
    told.stage.strike(name)
    states = ", ".join(dict.fromkeys(row.split()[6] for row in entries))
    said = f"{len(exits)} exit filled, {len(entries)} entry {states}, {len(later)} entry filled after the resume"
    return said, [*wrong, *_ended(codes), *halted.proven(), *ended.proven()]


def _of(orders: Iterable[str], session: str, side: str) -> list[str]:
    return [row for row in orders if row.split()[1] == session and side in row]


PLAYS: dict[str, Callable[[Rehearsal, Scenario, int], Played]] = {
    "kill-at-each-step": _each_step,
    "kill-while-recovering": _recovering,
    "database-restart": _database,
    "broker-reply-lost": _faulty(("reply_lost", "arrives_late"), 0.5),
    "broker-hangs": _faulty(("hang", "delay"), 0.3),
    "broker-errors": _faulty(ERRORS, 0.3),
    "broker-muddles": _faulty(MUDDLES, 0.3),
    "lease-stolen": _stolen,
    "run-duplicated": _duplicated,
    "clock-ahead": _skewed(AHEAD),
    "clock-behind": _skewed(-AHEAD),
    "log-disk-full": _disk_full,
    "halt-in-flight": _halted,
}
