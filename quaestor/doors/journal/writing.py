"""Writing a journal.

`append` and `decided` only remember; `flush` hands all of it to the operating system, after which no kill of the
process loses it; `sync` waits for the disk, too, after which no power cut does. A full segment is synced before the
next begins, so only the last one of a journal can have a torn tail.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from quaestor.doors.journal.files import segment, sync_folder
from quaestor.live.acts import Act, as_line
from quaestor.live.events import Event, Ticks
from quaestor.live.journaling import (
    DECIDED,
    END,
    EVENT,
    HEAD,
    MAGIC,
    ROWS,
    Head,
    JournalStopped,
    as_held,
    encode,
    framed,
    rows,
)
from quaestor.ticks import Tick

SEGMENT = 64 << 20  # bytes after which the next file begins
PENDING = 4096  # ticks that are remembered at most before they are written
WAITING = 1 << 16  # bytes of other frames, the same
UNWRITABLE = (TypeError, ValueError, OverflowError, msgspec.MsgspecError)  # what no journal can hold
MADE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


class JournalWriter:
    """Writes a run's journal into a new folder. Any thread may `sync`, which waits for the disk; one does all else.

    Where the disk is full, or the folder cannot be written, `JournalStopped` is raised once, by whichever call but
    `sync` comes upon it first; from then on every call does nothing.
    """

    def __init__(self, folder: Path, run: uuid.UUID, *, segment_bytes: int = SEGMENT) -> None:
        self._folder, self._run, self._most = Path(folder), run, segment_bytes
        self.number, self._written = 0, 0  # of the newest event; of the newest that was flushed
        self._began = 0  # `now` of the first event
        self.stopped = ""  # why nothing is written any more
        self._untold: JournalStopped | None = None  # what `sync` came upon
        self._file, self._segments, self._size = -1, 0, 0
        self._ticks: list[Tick] = []
        self._nows: list[int] = []
        self._counts: list[int] = []
        self._frames: list[bytes] = []
        self._waiting = 0
        self._lock = threading.RLock()  # of what is remembered
        self._disk = threading.Lock()  # a file is not closed while it is synced

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._folder.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close(ended=kind is None)

    def append(self, event: Event) -> Event:
        """Remember an event; answers it as it will be read back, which is what the engine must be told."""
        with self._lock:
            if self.stopped:
                self._tell()
                return event
            self._began = self._began or event.now
            if type(event) is not Ticks:
                return self._append(event)
            self.number += 1
            self._ticks.extend(event.ticks)
            self._nows.append(event.now)
            self._counts.append(len(event.ticks))
            if len(self._ticks) >= PENDING or len(self._nows) >= PENDING:
                self._flush()
            return event

    def decided(self, acts: Sequence[Act]) -> None:
        """Remember what followed from the newest event; nothing is kept of nothing."""
        with self._lock:
            if self.stopped:
                self._tell()
            elif acts:
                self._seal()
                self._remember(framed(DECIDED, self.number, 0, encode([as_line(act) for act in acts])))

    def flush(self) -> None:
        """Hand all that was remembered to the operating system."""
        with self._lock:
            if self.stopped:
                self._tell()
            else:
                self._flush()

    def sync(self) -> None:
        """Flush, and wait until the disk has it. What goes wrong, the next call of another kind tells."""
        try:
            with self._lock:
                if not self.stopped:
                    self._flush()
            self._sync()
        except JournalStopped as error:
            self._untold = error
        except OSError as error:
            with self._lock:
                self._untold = self._stop(error)

    def close(self, *, ended: bool = True) -> None:
        """Flush, sync, close; `ended`: the run came to its end, and this is all of it. A second call does nothing."""
        with self._lock:
            if self.stopped:
                self._tell()
                return
            try:
                self._seal()
                if ended:
                    self._frames.append(framed(END, self.number, 0, b""))
                self._flush()
                self._sync()
            except OSError as error:
                raise self._stop(error) from error
            finally:
                self._shut()
                self.stopped = self.stopped or "it is closed"

    # ── within the lock ───────────────────────────────────────────────────────────────────────────────────────────────

    def _append(self, event: Event) -> Event:
        self._seal()
        try:
            held, payload = as_held(event), encode(event)
        except UNWRITABLE as error:
            self._flush()
            raise self._stop(error) from error
        self.number += 1
        self._remember(framed(EVENT, self.number, 1, payload))
        return held

    def _flush(self) -> None:
        self._seal()
        if self._frames:
            ready, self._frames, self._waiting = b"".join(self._frames), [], 0
            try:
                if self._file < 0 or self._size >= self._most:
                    self._begin()
                self._write(ready)
            except OSError as error:
                raise self._stop(error) from error
            self._written = self.number

    def _seal(self) -> None:
        """The ticks remembered become a frame."""
        if not self._nows:
            return
        nows, counts, ticks = self._nows, self._counts, self._ticks
        self._ticks, self._nows, self._counts = [], [], []
        try:
            payload = rows(nows, counts, ticks)
        except UNWRITABLE as error:
            self.number -= len(nows)
            self._flush()
            raise self._stop(error) from error
        self._frames.append(framed(ROWS, self.number - len(nows) + 1, len(nows), payload))

    def _remember(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._waiting += len(frame)
        if self._waiting >= WAITING:
            self._flush()

    def _write(self, ready: bytes) -> None:
        """All of it; what a full disk took of it is taken back."""
        view, written = memoryview(ready), 0
        try:
            while written < len(view):
                written += os.write(self._file, view[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written

    def _begin(self) -> None:
        """The next segment, with its name on the disk; the one before is whole there by then."""
        self._sync()
        self._shut()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._segments += 1
        self._file, self._size = os.open(segment(self._folder, self._segments), MADE, 0o600), 0
        self._write(MAGIC + framed(HEAD, self._written + 1, 0, encode(Head(self._run, self._segments, self._began))))
        sync_folder(self._folder)

    def _sync(self) -> None:
        with self._disk:
            if self._file >= 0:
                os.fsync(self._file)

    def _shut(self) -> None:
        with self._disk:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def _tell(self) -> None:
        error, self._untold = self._untold, None
        if error is not None:
            raise error

    def _stop(self, error: Exception) -> JournalStopped:
        """From now on nothing is written; the error that says so."""
        self.stopped = str(getattr(error, "strerror", None) or error)
        self._ticks, self._nows, self._counts, self._frames = [], [], [], []
        self._shut()
        return JournalStopped(
            f"{self._folder}: the journal stops after event {self._written:,}: {self.stopped}. It is readable up to "
            "there; this run cannot be replayed any further. Make room on the disk before the next run begins."
        )
