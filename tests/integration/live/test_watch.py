"""Watching a live run over a real store: what is started, shown, told; time is the test's."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest

from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.errors import DatabaseDown, PartMissing
from quaestor.live.watching import Many, session_at
from quaestor.operations.watch import Watch, arm, watch
from quaestor.ports_live import Desired, Happening, LiveRun

NOON = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)
RUN = uuid.UUID("11111111-1111-4111-8111-111111111111")
WATCHED = session_at(NOON)
assert WATCHED is not None


class Weak(LiveStore):
    """The real store, whose database may be away."""

    away = False

    async def alive(self, account: str, within: dt.timedelta) -> LiveRun | None:
        if self.away:
            raise DatabaseDown
        return await super().alive(account, within)


@pytest.fixture
def store(database: Database) -> Weak:
    return Weak(database)


@dataclass
class Host:
    """Where a runner can be started; it lives for `lives` seconds."""

    clock: Callable[[], float]
    lives: float = 0.0
    options: list[Sequence[str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def start(self, options: Sequence[str]) -> None:
        self.options.append(options)
        self.at.append(self.clock())

    @property
    def running(self) -> bool:
        return bool(self.at) and self.clock() - self.at[-1] < self.lives

    def owns(self, holder: str) -> bool:
        return holder == "here:ours:live"

    def last_words(self) -> str:
        return "Log: live.log"


@dataclass
class Shown:
    """What a person would see, and was alerted of."""

    happenings: list[str] = field(default_factory=list)
    many: list[Many] = field(default_factory=list)
    alive: list[bool] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    async def show(self, shown: Sequence[Happening], many: Many | None) -> None:
        self.happenings += [one.subject for one in shown]
        self.many += [many] if many else []

    async def figures(self, run: LiveRun | None, desired: Desired, *, alive: bool) -> None:  # noqa: ARG002
        self.alive.append(alive)

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:  # noqa: ARG002
        self.alerts.append(title)


class Scene:
    """A watch whose seconds pass when it sleeps; at each second something may happen."""

    def __init__(self, *, ours: bool = True, lives: float = 0.0) -> None:
        self.seconds = 0.0
        self.then: dict[int, Callable[[], object]] = {}
        self.shown = Shown()
        self.host = Host(lambda: self.seconds, lives)
        self.watch = Watch("paper", WATCHED, lambda: ["--at=x"], ours, self.now, lambda: self.seconds, self.sleep)

    def now(self) -> dt.datetime:
        return NOON + dt.timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        assert self.seconds < 1000, "it never ends"
        if (happens := self.then.get(int(self.seconds))) is not None:
            done = happens()
            if hasattr(done, "__await__"):
                await done

    async def run(self, store: LiveStore, cursor: int = 0) -> str:
        said, _ = await watch(self.watch, store, self.host, self.shown, self.shown, cursor)
        return said


def happened(kind: str, subject: str) -> Happening:
    return Happening(kind, subject, NOON)


async def test_a_runner_that_dies_each_time_is_started_six_times_and_then_a_person_is_told(store: Weak) -> None:
    scene = Scene()
    with pytest.raises(PartMissing, match=r"The runner ended 6 times\. Correct .* Log: live\.log"):
        await scene.run(store)
    assert scene.host.at == [0, 5, 10, 25, 55, 115]
    assert scene.host.options == [["--at=x"]] * 6
    assert scene.shown.alerts == ["paper: the live runner was lost and is started again"] * 5 + [
        "paper: the live run is not watched any more"
    ]


async def test_a_runner_whose_process_is_gone_is_started_again_at_once(store: Weak) -> None:
    """Its last beat is young still; another's would be waited for."""
    scene = Scene(lives=500)
    await store.begin(LiveRun(RUN, "paper", "here:ours:live", NOON, "abc", "d1"))
    scene.then[3] = lambda: store.desire("paper", "stopped", "ann@desk", "seen enough")
    scene.then[4] = lambda: setattr(scene.host, "lives", 0.0)
    assert "stopped" in await scene.run(store)
    assert scene.host.at == [0]
    assert scene.shown.alerts == ["paper: the live runner was lost and is started again"]


async def test_what_happens_is_shown_from_the_cursor_on_until_the_session_is_settled(store: Weak) -> None:
    scene = Scene()
    await store.begin(LiveRun(RUN, "paper", "here:1", NOON, "abc", "d1"))
    await store.tell("paper", RUN, [happened("fill", "before")])
    cursor = await store.cursor_at("paper", dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    scene.then[2] = lambda: store.tell("paper", RUN, [happened("fill", "AAPL"), happened("halt", "paper")])
    scene.then[4] = lambda: store.tell("paper", RUN, [happened("refusal", f"r{n}") for n in range(100)])
    scene.then[6] = lambda: store.tell("paper", RUN, [happened("settled", "2026-11-20")])
    assert await scene.run(store, cursor) == "2026-11-20: settled"
    assert scene.shown.happenings[:2] == ["AAPL", "paper"]
    assert scene.shown.happenings[2:] == [*(f"r{n}" for n in range(19)), "2026-11-20"]
    assert [(many.kinds, many.last - many.first) for many in scene.shown.many] == [({"refusal": 81}, 80)]
    assert scene.host.at == []
    assert set(scene.shown.alive) == {True}


async def test_a_database_that_was_away_is_no_reason_to_start_a_second_runner(store: Weak, database_uri: str) -> None:
    """Its beats stayed away, too: it gets a moment to beat again."""
    scene = Scene()
    await store.begin(LiveRun(RUN, "paper", "here:1", NOON, "abc", "d1"))

    def away() -> None:
        store.away = True

    def back() -> None:
        store.away = False
        with psycopg.connect(database_uri) as connection:
            connection.execute("update live_run set beat_at = beat_at - interval '60 s'")

    scene.then |= {2: away, 60: back, 63: lambda: store.beat(RUN, {})}
    scene.then[70] = lambda: store.beat(RUN, {"settled": "2026-11-20"})
    assert await scene.run(store) == "2026-11-20: settled"
    assert scene.host.at == []
    assert scene.shown.alerts == []


async def test_where_a_service_starts_runners_a_missing_one_is_told_once_and_not_started(store: Weak) -> None:
    scene = Scene(ours=False)
    scene.then[200] = lambda: store.desire("paper", "stopped", "ann@desk", "a quiet day")
    assert await scene.run(store) == "2026-11-20: stopped by ann@desk (a quiet day)"
    assert scene.host.at == []
    assert scene.shown.alerts == ["paper: no live runner is alive"]


async def test_arming_says_so_only_where_it_is_needed(store: Weak, database_uri: str) -> None:
    assert (await arm(store, "paper", "flow run x", NOON)).number == 0  # nobody ever said anything
    await store.desire("paper", "hold", "ann@desk", "lunch")
    now = dt.datetime.now(dt.UTC)
    with psycopg.connect(database_uri) as connection:
        connection.execute("update live_desired set at = %s", [now - dt.timedelta(days=30)])
    armed = await arm(store, "paper", "flow run x", now)
    assert (armed.state, armed.by) == ("armed", "flow run x")
    await store.desire("paper", "hold", "ann@desk", "lunch")
    assert (await arm(store, "paper", "flow run y", now)).by == "ann@desk"
