"""Telemetry never holds up who trades: what a slow, broken or full sink does not take is lost, and counted."""

from __future__ import annotations

import errno
import json
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from quaestor.doors.telemetry import Telemetry, TraceFile
from quaestor.doors.telemetry.lines import Lines
from quaestor.doors.telemetry.sender import Sender
from quaestor.spans import Batch, Execution, Passage

SOON = 10.0  # seconds that a thread gets on a busy machine


class Into:
    """A sink that keeps what it takes, while its gate is open."""

    def __init__(self, *, opened: bool = True, well: bool = True) -> None:
        self.taken: list[Any] = []
        self.gate = threading.Event()
        self.began = threading.Event()
        self.well, self.closed = well, False
        if opened:
            self.gate.set()

    def write(self, items: Sequence[Any]) -> bool:
        self.began.set()
        self.gate.wait()
        if self.well:
            self.taken += items
        return self.well

    def close(self) -> None:
        self.closed = True
        self.gate.set()


def passage(number: int = 1) -> Passage:
    return Passage(uuid.UUID(int=number), "AAPL", "buy", "s", 100, 200, committed=300, wired=400, acked=500)


def test_things_come_in_order_and_all_are_there_at_the_end() -> None:
    sink = Into()
    sender = Sender("x", sink)
    for number in range(2_000):
        sender.offer(number)
    sender.close()
    assert (sink.taken, sender.sent, sender.lost, sink.closed) == (list(range(2_000)), 2_000, 0, True)


def test_a_full_queue_gives_up_what_is_new_counts_it_and_never_waits() -> None:
    sink = Into(opened=False)
    sender = Sender("x", sink, queue=100, linger=0)
    sender.offer(0)
    assert sink.began.wait(SOON)
    began = time.thread_time()
    for number in range(1, 10_001):
        sender.offer(number)
    assert time.thread_time() - began < 1  # seconds of our own processor time for ten thousand
    assert sender.lost == 9_900
    sink.gate.set()
    sender.close()
    assert sink.taken == list(range(101))


def test_an_end_does_not_wait_for_a_sink_that_hangs() -> None:
    sink = Into(opened=False)
    sender = Sender("x", sink, linger=0)
    sender.offer(1)
    assert sink.began.wait(SOON)
    for number in range(50):
        sender.offer(number)
    began = time.monotonic()
    sender.close(patience=0.05)
    assert time.monotonic() - began < SOON
    assert sink.closed
    assert (sender.lost, sink.taken) == (50, [1])


def test_a_sink_that_raises_loses_its_things_and_not_the_thread() -> None:
    class Wrong(Into):
        def write(self, items: Sequence[Any]) -> bool:
            if not self.taken and items == [1]:
                self.taken = [None]
                raise RuntimeError("of another's making")
            return super().write(items)

    told: list[bool] = []
    sink = Wrong()
    sender = Sender("x", sink, told.append, linger=0)
    sender.offer(1)
    until(lambda: sender.lost == 1)
    sender.offer(2)
    until(lambda: sender.sent == 1)
    sender.close()
    assert (told, sink.taken) == ([False, True], [None, 2])


def test_a_file_of_traces_has_every_order_and_is_turned_over_when_it_is_full(tmp_path: Path) -> None:
    file = tmp_path / "home" / "traces.jsonl"
    lines = Lines(file, 3_000, 2)
    for number in range(12):
        assert TraceFile(lines, {"service.name": "quaestor"}).write([passage(number)])
    lines.close()
    assert sorted(path.name for path in file.parent.iterdir()) == ["traces.jsonl", "traces.jsonl.1", "traces.jsonl.2"]
    kept = [path for suffix in (".2", ".1", "") for path in [file.with_name(file.name + suffix)]]
    assert all(path.stat().st_size <= 3_000 for path in kept)
    traces = [json.loads(line) for path in kept for line in path.read_text().splitlines()]
    ids = [t["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] for t in traces]
    assert ids == [uuid.UUID(int=number).hex for number in range(12)][-len(ids) :]
    assert file.stat().st_mode & 0o777 == 0o600


def test_lines_go_on_where_the_file_before_ended_and_turn_over_one_that_is_full_already(tmp_path: Path) -> None:
    file = tmp_path / "l"
    for text in ("a" * 60, "b" * 60):
        lines = Lines(file, 100, 0)
        assert lines.write([text])
        lines.close()
    assert file.read_text() == "b" * 60 + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["l"]


def test_a_disk_that_is_full_loses_lines_and_takes_them_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not a folder").write_text("")
    lines = Lines(tmp_path / "not a folder" / "l", 1_000, 1)
    assert not lines.write(["x"])
    full = Lines(Path("/dev/full"), 1_000, 1)
    assert not full.write(["x" * 10])
    full.close()
    with pytest.raises(OSError, match="No space left") as raised, Path("/dev/full").open("w") as device:
        device.write("the device is what it is said to be")
    assert raised.value.errno == errno.ENOSPC
    (tmp_path / "not a folder").unlink()
    assert lines.write(["x"])
    lines.close()


def test_an_order_and_its_fill_go_to_every_sink_and_batches_by_sample() -> None:
    one, two = Into(), Into(well=False)
    telemetry = Telemetry({"one": one, "two": two}, {}, sample=0.25)
    telemetry.order(passage())
    telemetry.fill(Execution(uuid.UUID(int=1), "e", 900))
    told = [number for number in range(20) if telemetry.sampled()]
    telemetry.batch(Batch(uuid.UUID(int=9), 1, 2, ticks=3))
    telemetry.close()
    assert told == [3, 7, 11, 15, 19]
    assert [type(item).__name__ for item in one.taken] == ["Passage", "Execution", "Batch"]
    assert telemetry.lost == {"one": 0, "two": 3}


def test_figures_are_told_now_and_then_by_the_runs_clock() -> None:
    sink = Into()
    telemetry = Telemetry({}, {"figures": sink}, every=15 * 10**9)
    for second in range(100, 141, 2):
        telemetry.beat(second * 10**9, {"orders": second})
    telemetry.close()
    assert [facts["orders"] for _, facts in sink.taken] == [100, 116, 132]


def test_without_a_sink_nothing_is_sampled_and_no_thread_runs() -> None:
    threads = threading.active_count()
    telemetry = Telemetry({}, {}, sample=1.0)
    telemetry.order(passage())
    telemetry.beat(10**18, {})
    assert not telemetry.sampled()
    assert (threading.active_count(), telemetry.lost) == (threads, {})
    telemetry.close()


def until(holds: Any) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)
