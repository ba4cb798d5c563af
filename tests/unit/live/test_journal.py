"""A journal survives what ends a run: a kill, a power cut, a full disk, a lost file."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from quaestor.doors.journal import JournalReader, JournalWriter, find, folders, forget, pack
from quaestor.errors import BadInput, NotFound
from quaestor.live.acts import Stop, as_line
from quaestor.live.events import Clock, Event, Latched, Ticks
from quaestor.live.journaling import JournalStopped
from quaestor.ticks import QuoteTick, TradeTick

ROOT = Path(__file__).resolve().parents[3]
RUN = uuid.UUID("0190a4c1-5b1e-7a55-9a0e-6f1f5b1d7c11")
OTHER = uuid.UUID("0190ffff-5b1e-7a55-9a0e-6f1f5b1d7c11")
STOP = Stop("enough")


def ticks(now: int, many: int = 3) -> Ticks:
    made = [
        TradeTick("AAPL", now + n, 190.5, 100.0) if n % 2 else QuoteTick("IBM", now, 1.0, 1.1, n, 2.0)
        for n in range(many)
    ]
    return Ticks(now, made)


RUN_OF_EVENTS: list[Event] = [Latched(1, ()), ticks(2), ticks(3, 0), Clock(4), ticks(5), ticks(6)]


def write(folder: Path, run: uuid.UUID = RUN, *, segment_bytes: int = 1 << 20, ended: bool = True) -> list[int]:
    """The run of events with a decision on the fourth; the number of bytes after each event."""
    sizes = []
    journal = JournalWriter(folder, run, segment_bytes=segment_bytes)
    for event in RUN_OF_EVENTS:
        journal.append(event)
        journal.decided([STOP] if type(event) is Clock else [])
        journal.flush()
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
    journal.close(ended=ended)
    return sizes


def test_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write(tmp_path / "journals" / "run", segment_bytes=100)
    assert (tmp_path / "journals" / "run").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "journals" / "run").iterdir())
    assert len(files) > 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    pack(tmp_path / "journals" / "run")
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_journal_that_is_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole", ended=False)
    whole = (tmp_path / "whole" / "000001.journal").read_bytes()
    (tmp_path / "cut").mkdir()
    heads = 0
    for length in range(len(whole) + 1):
        (tmp_path / "cut" / "000001.journal").write_bytes(whole[:length])
        try:
            reader = JournalReader(tmp_path / "cut")
        except BadInput:
            heads += 1
            continue
        there = sum(size <= length for size in sizes)
        read = list(reader)
        assert read == RUN_OF_EVENTS[: len(read)]
        assert len(read) == there or (there, len(read)) == (3, 4), "event 4 stands before what was decided on it"
        assert not reader.ended
        assert reader.torn == (length not in frames_end(whole))
    assert heads < sizes[0], "before its head is whole, a file is no journal"


def frames_end(whole: bytes) -> set[int]:
    """Where frames end, by their lengths alone."""
    ends, at = set(), 19
    while at < len(whole):
        at += 21 + int.from_bytes(whole[at : at + 4], "little")
        ends.add(at)
    return ends


def test_a_flipped_bit_at_the_end_is_a_torn_tail_too(tmp_path: Path) -> None:
    write(tmp_path / "run", ended=False)
    path = tmp_path / "run" / "000001.journal"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    reader = JournalReader(tmp_path / "run")
    assert list(reader) == RUN_OF_EVENTS[:-1]
    assert reader.torn


def test_decisions_belong_to_the_event_before_them(tmp_path: Path) -> None:
    write(tmp_path)
    assert [(n, lines) for n, _, lines in JournalReader(tmp_path).entries() if lines] == [(4, (as_line(STOP),))]


def test_a_journal_that_is_still_written_is_read_as_far_as_it_was_flushed(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, RUN)
    journal.append(ticks(1))
    journal.flush()
    journal.append(ticks(2))
    reader = JournalReader(tmp_path)
    assert [event.now for event in reader] == [1]
    assert (reader.torn, reader.ended) == (False, False)
    journal.close()
    assert JournalReader(tmp_path).torn is False


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A journal with a segment for each event."""
    write(tmp_path / "many", segment_bytes=1)
    return tmp_path / "many"


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_a_segment_that_is_missing_is_named(many: Path, lost: int) -> None:
    (many / f"{lost:06}.journal").unlink()
    with pytest.raises(NotFound, match=f"{lost:06}.journal is missing"):
        JournalReader(many)


def test_a_segment_of_another_place_is_found_by_its_number(many: Path) -> None:
    shutil.copy(many / "000002.journal", many / "000003.journal")
    with pytest.raises(BadInput, match=r"000003.journal goes on with event 2, but event 3 comes next"):
        list(JournalReader(many))


def test_a_segment_that_is_damaged_before_the_last_is_named_after_all_that_is_good(many: Path) -> None:
    path = many / "000003.journal"
    path.write_bytes(path.read_bytes()[:-1])
    seen = []
    with pytest.raises(BadInput, match=r"000003.journal is damaged at byte \d+: .* after event 2\b"):
        seen.extend(JournalReader(many))
    with pytest.raises(BadInput, match="damaged"):
        pack(many)


def test_no_journal_and_nothing_but_a_torn_head_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no journal"):
        JournalReader(tmp_path)
    (tmp_path / "000001.journal").write_bytes(b"QUAESTOR JOUR")
    with pytest.raises(BadInput, match="torn before its first event"):
        JournalReader(tmp_path)


def test_a_run_never_writes_into_the_journal_of_another(tmp_path: Path) -> None:
    write(tmp_path)
    before = (tmp_path / "000001.journal").read_bytes()
    journal = JournalWriter(tmp_path, OTHER)
    journal.append(Clock(1))
    with pytest.raises(JournalStopped, match="File exists"):
        journal.flush()
    journal.close()
    assert (tmp_path / "000001.journal").read_bytes() == before


def test_a_number_that_no_file_can_hold_stops_the_journal_after_all_before_it(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, RUN)
    journal.append(Clock(1))
    journal.append(ticks(2))
    journal.append(Clock(3))
    journal.append(Ticks(4, [TradeTick("AAPL", 2**70, 1.0, 1.0)]))
    with pytest.raises(JournalStopped, match="stops after event 3"):
        journal.flush()
    journal.append(Clock(5))
    journal.flush()
    journal.close()
    assert [event.now for event in JournalReader(tmp_path)] == [1, 2, 3]


# ── a full disk ───────────────────────────────────────────────────────────────────────────────────────────────────────

FILLING = """
import resource, sys, uuid
from pathlib import Path
from quaestor.doors.journal import JournalReader, JournalWriter
from quaestor.live.acts import Stop
from quaestor.live.events import Clock, Ticks
from quaestor.live.journaling import JournalStopped
from quaestor.ticks import TradeTick

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
journal, errors, last = JournalWriter(folder / "run", uuid.uuid4(), segment_bytes=50_000), [], 0
for now in range(1, 400):
    try:
        journal.append(Ticks(now, [TradeTick("AAPL", n, 1.5, 2.0) for n in range(50)]))
        journal.decided([Stop("x")])
        journal.flush()
        journal.sync()
        last = now if not errors else last
    except JournalStopped as error:
        errors.append(str(error))
journal.close()
(folder / "rest").unlink(missing_ok=True)
reader = JournalReader(folder / "run")
print(len(errors), last, len(list(reader)), reader.torn, errors[0])
"""


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        pytest.param(0, "No space left on device", id="a small disk in memory fills up, in a name space of its own"),
        pytest.param(40_000, "File too large", id="the system lets files grow so far and no further"),
    ],
)
def test_on_a_full_disk_the_journal_stops_once_and_stays_readable(tmp_path: Path, limit: int, reason: str) -> None:
    mount = f"mount -t tmpfs -o size=200k none '{tmp_path}' && "
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not limit and subprocess.run([*apart, mount + "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a disk of his own")
    run = [sys.executable, "-c", FILLING, str(tmp_path), str(limit)]
    command = run if limit else [*apart, mount + 'exec "$@"', "sh", *run]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    errors, last, read, torn, message = done.stdout.strip().split(" ", 4)
    assert (errors, torn) == ("1", "False"), "it is told once, and half a frame is taken back"
    assert 0 < int(last) == int(read) < 399
    assert reason in message
    assert f"stops after event {int(last):,}" in message


# ── kill -9 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

WRITING = """
import sys, uuid
from pathlib import Path
from quaestor.doors.journal import JournalWriter
from quaestor.live.events import Ticks
from quaestor.ticks import TradeTick

journal = JournalWriter(Path(sys.argv[1]), uuid.uuid4(), segment_bytes=20_000)
now = 0
while True:
    now += 1
    journal.append(Ticks(now, [TradeTick("AAPL", n, 1.5, 2.0) for n in range(now % 40)]))
    if now % 7 == 0:
        journal.flush()
        print(now, flush=True)
"""


def test_kill_9_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    flushed = [int(process.stdout.readline()) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    flushed += [int(line) for line in process.stdout.read().splitlines() if line]
    process.wait()
    process.stdout.close()
    read = list(JournalReader(tmp_path))
    assert len(read) >= flushed[-1]
    assert [event.now for event in read] == list(range(1, len(read) + 1))
    assert [len(event.ticks) for event in read if isinstance(event, Ticks)] == [n % 40 for n in range(1, len(read) + 1)]
    assert len(list(tmp_path.iterdir())) > 1


def test_sync_from_another_thread_while_segments_begin_and_end(tmp_path: Path) -> None:
    journal, done = JournalWriter(tmp_path, RUN, segment_bytes=2_000), threading.Event()

    def sync() -> None:
        while not done.is_set():
            journal.sync()

    thread = threading.Thread(target=sync)
    thread.start()
    for now in range(1, 400):
        journal.append(ticks(now))
        if now % 3:
            journal.flush()
    done.set()
    thread.join()
    journal.close()
    assert list(JournalReader(tmp_path)) == [ticks(now) for now in range(1, 400)]


def test_what_a_sync_in_another_thread_comes_upon_is_told_by_the_next_call_and_once(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    journal = JournalWriter(tmp_path / "run", RUN)
    journal.append(Clock(1))
    thread = threading.Thread(target=journal.sync)
    thread.start()
    thread.join()
    with pytest.raises(JournalStopped, match="File exists"):
        journal.append(Clock(2))
    journal.append(Clock(3))
    journal.flush()
    journal.close()


# ── packing, finding ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_packing_makes_ticks_small_and_changes_nothing(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, RUN) as journal:
        for now in range(1, 300):
            journal.append(
                Ticks(now, [TradeTick("AAPL", now * 1000 + n, 190.0 + n % 7 / 100, 100.0) for n in range(100)])
            )
            journal.decided([STOP] if now == 150 else [])
    before = list(JournalReader(tmp_path).entries())
    size = (tmp_path / "000001.journal").stat().st_size
    saved = pack(tmp_path)
    assert size - saved < size / 4
    assert list(JournalReader(tmp_path).entries()) == before
    assert pack(tmp_path) == 0, "there is nothing more to gain"


def test_the_last_segment_of_a_run_that_may_live_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=1, ended=False)
    last = max(tmp_path.iterdir())
    before = (last.read_bytes(), last.stat().st_ino)
    pack(tmp_path)
    assert (last.read_bytes(), last.stat().st_ino) == before
    assert list(JournalReader(tmp_path)) == RUN_OF_EVENTS


def test_journals_are_forgotten_by_when_they_were_written_last(tmp_path: Path) -> None:
    for name, day in (("old", 1), ("new", 20)):
        write(tmp_path / name)
        then = dt.datetime(2026, 11, day, tzinfo=dt.UTC).timestamp()
        for file in (tmp_path / name).iterdir():
            os.utime(file, (then, then))
        pack(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert forget(tmp_path, dt.datetime(2026, 11, 2, tzinfo=dt.UTC)) > 0, "packing is no writing"
    assert {path.name for path in tmp_path.iterdir()} == {"new", "notes"}
    assert folders(tmp_path) == [tmp_path / "new"]


@pytest.mark.parametrize(
    ("named", "folder"),
    [
        pytest.param(str(RUN), "one", id="by its id"),
        pytest.param("0190A4", "one", id="by the beginning of its id"),
        pytest.param("two", "two", id="by its folder's name"),
        pytest.param("last", "two", id="the one that began last"),
    ],
)
def test_a_journal_is_found(tmp_path: Path, named: str, folder: str) -> None:
    write(tmp_path / "one")
    with JournalWriter(tmp_path / "two", OTHER) as journal:
        journal.append(Clock(2))
    (tmp_path / "notes").mkdir()
    assert find(tmp_path, named) == tmp_path / folder
    assert find(Path("/nowhere"), str(tmp_path / folder)) == tmp_path / folder


@pytest.mark.parametrize(
    ("named", "words"),
    [
        pytest.param("0190", r"begins the ids of 2 runs", id="two runs begin so"),
        pytest.param("lst", r"Did you mean 'last'\?", id="a slip"),
        pytest.param("ffff", r"Unknown run 'ffff'", id="nobody's id"),
    ],
)
def test_a_run_that_is_not_clear_is_asked_for_again(tmp_path: Path, named: str, words: str) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two", OTHER)
    with pytest.raises((BadInput, NotFound), match=words):
        find(tmp_path, named)


def measure(batch: int = 100, ticks: int = 200_000) -> None:
    """Prints what a journal costs; this file run by hand does."""
    symbols, made = [f"S{n:03}" for n in range(100)], []
    for n in range(ticks):
        symbol, at, price = symbols[n * 7 % 100], n * 10_000, 100 + n % 97 / 100
        made.append(
            QuoteTick(symbol, at, price, price + 0.02, 300.0, 200.0) if n % 5 else TradeTick(symbol, at, price, 100.0)
        )
    events = [Ticks(n + 1, made[n : n + batch]) for n in range(0, ticks, batch)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        begun = [time.process_time()]
        with JournalWriter(folder, RUN) as journal:
            for event in events:
                journal.append(event)
            journal.flush()
            begun.append(time.process_time())
        size = sum(path.stat().st_size for path in folder.iterdir())
        begun.append(time.process_time())
        for _ in JournalReader(folder):
            pass
        begun.append(time.process_time())
        saved = pack(folder)
        begun.append(time.process_time())
    append, _, read, packing = (round((after - before) / ticks * 1e6, 3) for before, after in pairwise(begun))
    print(f"batches of {batch}: append {append} µs a tick, {size / ticks:.1f} bytes; read {read} µs; "
          f"pack {packing} µs, {(size - saved) / ticks:.1f} bytes")  # fmt: skip


if __name__ == "__main__":
    for many in (1, 10, 100, 1000):
        measure(many)
