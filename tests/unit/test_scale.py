"""Spreading a task over many arguments: bounded, in order, ended by the first error; no Prefect server is needed."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from prefect import task
from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner

from blocks import Scale
from quaestor import wiring
from quaestor.config import parse
from quaestor.console import doctor
from quaestor.errors import BadConfig, BadInput, PartMissing, Temporary
from tasks.scale import spread

Work = Callable[..., Awaitable[Any]]


class Threads(TaskRunner[Any]):
    """A cluster in small: chunks run in threads, each in an event loop of its own, as they do on Dask and Ray."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = ThreadPoolExecutor(64)
        self.running = False

    def duplicate(self) -> Threads:
        return Threads()

    def submit(self, task: Any, parameters: Any, wait_for: Any = None, dependencies: Any = None) -> Any:
        assert self.running
        assert wait_for is dependencies is None
        done = self.threads.submit(lambda: asyncio.run(task.fn(**parameters)))
        return PrefectConcurrentFuture(uuid.uuid4(), done)

    def __enter__(self) -> Self:
        self.running = True
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.running = False


class Elsewhere(Scale):
    """A form that opens it."""

    _block_type_slug = "quaestor-scale-test"

    def open(self, at_once: int) -> TaskRunner[Any]:
        assert at_once > 0
        return RUNNERS[self.home]


RUNNERS: dict[str, TaskRunner[Any]] = {}


@pytest.fixture(params=["here", "elsewhere"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Scale, Callable[[Work], Any]]:
    """Where chunks run, and how a function becomes what runs there."""
    if request.param == "here":
        return Scale(home=str(tmp_path)), lambda function: function
    RUNNERS[str(tmp_path)] = Threads()
    return Elsewhere(home=str(tmp_path)), task


class Chunks:
    """Chunks that know how many of them run at a time."""

    def __init__(self, *, bad: tuple[int, ...] = (), seconds: float = 0.002) -> None:
        self.bad, self.seconds = bad, seconds
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def run(self, number: int, factor: int = 10) -> int:
        with self.lock:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
        await asyncio.sleep(self.seconds * (1 if number in self.bad else 3))
        with self.lock:
            self.running -= 1
            self.ended.append(number)
        if number in self.bad:
            raise BadInput(f"chunk {number} is bad")
        return number * factor


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"number": number} for number in range(count)]


async def test_no_more_run_at_a_time_than_the_window_and_results_keep_their_order(way: Any) -> None:
    scale, made = way
    chunks = Chunks()
    told: list[int] = []

    async def done(result: int) -> None:
        told.append(result)

    results = await spread(made(chunks.run), numbers(100), scale, window=5, done=done)
    assert results == [number * 10 for number in range(100)]
    assert sorted(told) == results
    assert chunks.most == 5
    assert sorted(chunks.begun) == list(range(100))


async def test_a_long_queue_is_never_that_many_coroutines(tmp_path: Path) -> None:
    most = 0

    async def chunk(number: int) -> int:
        nonlocal most
        await asyncio.sleep(0)
        most = max(most, len(asyncio.all_tasks()))
        return number

    anything: Any = chunk
    assert await spread(anything, numbers(50_000), Scale(home=str(tmp_path)), window=8) == list(range(50_000))
    assert most <= 8 + 1  # this test is one, too


async def test_the_first_error_begins_nothing_new_and_lets_the_running_ones_end(way: Any) -> None:
    scale, made = way
    chunks = Chunks(bad=(3, 4), seconds=0.05)
    told: list[int] = []

    async def done(result: int) -> None:
        told.append(result)

    with pytest.raises(BadInput, match=r"chunk [34] is bad"):
        await spread(made(chunks.run), numbers(1000), scale, window=5, done=done)
    assert sorted(chunks.begun) == sorted(chunks.ended) == [0, 1, 2, 3, 4]
    assert sorted(told) == [0, 10, 20]


async def test_an_error_while_a_result_is_reported_counts_as_one(way: Any) -> None:
    scale, made = way
    chunks = Chunks()

    async def done(result: int) -> None:
        raise Temporary(f"nobody hears {result}")

    with pytest.raises(Temporary, match="nobody hears"):
        await spread(made(chunks.run), numbers(1000), scale, window=2, done=done)
    assert len(chunks.begun) <= 4


async def test_a_cancellation_ends_the_cluster_and_begins_nothing_new(way: Any, tmp_path: Path) -> None:
    scale, made = way
    chunks = Chunks(seconds=0.1)
    spreading = asyncio.create_task(spread(made(chunks.run), numbers(1000), scale, window=2))
    while len(chunks.begun) < 2:
        await asyncio.sleep(0.005)
    spreading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spreading
    assert sorted(chunks.begun) == [0, 1]
    runner = RUNNERS.get(str(tmp_path))
    assert runner is None or not runner.running  # type: ignore[attr-defined]


@pytest.mark.parametrize("window", [pytest.param(0, id="none"), pytest.param(-1, id="less than none")])
async def test_a_window_is_at_least_one(tmp_path: Path, window: int) -> None:
    chunks: Any = Chunks()
    assert await spread(chunks.run, numbers(3), Scale(home=str(tmp_path)), window=window) == [0, 10, 20]
    assert chunks.most == 1


async def test_nothing_to_do_starts_no_cluster(tmp_path: Path) -> None:
    anything: Any = None
    assert await spread(anything, [], Scale(home=str(tmp_path), task_runner="dask"), window=8) == []


async def test_a_cluster_that_does_not_answer_is_named_with_the_cure(tmp_path: Path) -> None:
    class Away(Threads):
        address = "tcp://10.0.0.5:8786"

        def __enter__(self) -> Self:
            raise TimeoutError("Timed out trying to connect")

    RUNNERS[str(tmp_path)] = Away()
    with pytest.raises(PartMissing, match=r"cluster \(tcp://10.0.0.5:8786\) does not answer.*task_runner_address"):
        await spread(task(Chunks().run), numbers(3), Elsewhere(home=str(tmp_path)), window=2)


async def test_a_chunk_that_the_cluster_lost_may_be_tried_again(tmp_path: Path) -> None:
    from distributed.scheduler import KilledWorker

    async def deadly(number: int) -> int:
        raise KilledWorker(f"chunk-{number}", SimpleNamespace(address="tls://127.0.0.1:1"), 3)

    RUNNERS[str(tmp_path)] = Threads()
    with pytest.raises(Temporary, match="cluster lost a chunk of 'deadly'"):
        await spread(task(deadly), numbers(3), Elsewhere(home=str(tmp_path)), window=2)


# ── configuration ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_runner_whose_package_is_missing_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setitem(wiring.TASK_RUNNERS, kind, "quaestor_has_no_such_package")
    with pytest.raises(PartMissing, match=rf"pip install -c constraints.txt -e '.\[{kind}\]'"):
        Scale(home=str(tmp_path), task_runner=kind).open(8)


@pytest.mark.parametrize(
    ("said", "verdict", "seen"),
    [
        pytest.param("", "ok", "threads, in the flow's process", id="the default"),
        pytest.param('task_runner = "dask"', "ok", "dask: 2 processes of our own", id="a cluster of our own"),
        pytest.param('task_runner = "ray"', "fail", "constraints.txt -e '.[ray]'", id="not installed"),
    ],
)
def test_the_doctor_says_where_chunks_run_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, verdict: str, seen: str
) -> None:
    monkeypatch.setitem(wiring.TASK_RUNNERS, "ray", "quaestor_has_no_such_package")
    (tmp_path / "quaestor.toml").write_text(f"[prefect]\n{said}\n", encoding="utf-8")
    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    (found,) = [finding for finding in doctor.examine() if finding.part == "scale"]
    assert found.verdict == verdict
    assert seen in found.seen


def test_an_address_needs_a_cluster() -> None:
    with pytest.raises(BadConfig, match="needs task_runner = 'dask' or 'ray'"):
        parse('[prefect]\ntask_runner_address = "tcp://10.0.0.5:8786"\n')


@pytest.mark.parametrize(
    ("address", "away"),
    [
        pytest.param("tcp://127.0.0.1:8786", False, id="this machine"),
        pytest.param("localhost:8786", False, id="this machine by name"),
        pytest.param("tls://[::1]:8786", False, id="this machine by IPv6"),
        pytest.param("tcp://10.0.0.5:8786", True, id="another"),
        pytest.param("tcp://127.0.0.1.example.com:8786", True, id="another whose name begins so"),
        pytest.param("ray://head:10001", True, id="a Ray head"),
    ],
)
def test_another_machine_cannot_reach_the_embedded_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, away: bool
) -> None:
    text = f'[prefect]\ntask_runner = "dask"\ntask_runner_address = "{address}"\n'
    (tmp_path / "quaestor.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    if away:
        with pytest.raises(BadConfig, match="cannot reach the embedded database"):
            wiring.load()
    else:
        wiring.load()
    monkeypatch.setenv("QUAESTOR_DATABASE_URL", "postgresql://me@books/quaestor")
    assert wiring.load().config.prefect.task_runner_address == address
