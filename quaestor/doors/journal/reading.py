"""Reading a journal: lazily, in order, up to a tail that was torn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quaestor.doors.journal.files import head, segments
from quaestor.errors import BadInput
from quaestor.live.events import Event
from quaestor.live.journaling import DECIDED, END, HEAD, Entry, Frame, frames, read_events, read_lines


class JournalReader:
    """Reads a journal, also one that is still being written. Iterating gives its events, `entries` decisions too."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._segments = segments(self._folder)
        self.run = head(self._folder).run
        self._end: tuple[int, bool] | None = None  # known once it was read to the end
        self.size = sum(path.stat().st_size for path in self._segments)  # bytes

    @property
    def torn(self) -> bool:
        """Whether a tail was cut off."""
        return self.cut > 0

    @property
    def cut(self) -> int:
        """Bytes of a torn tail that were cut off."""
        return self._read()[0]

    @property
    def ended(self) -> bool:
        """Whether the run said that this is all."""
        return self._read()[1]

    def _read(self) -> tuple[int, bool]:
        if self._end is None:
            for _ in self._frames():
                pass
        return self._end or (0, False)

    def __iter__(self) -> Iterator[Event]:
        return (entry.event for entry in self.entries())

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Events in their order, with what was decided on each; raises BadInput where a segment is damaged.

        after: the number of an event that is known, with all before it; segments of those alone are not read.
        """
        return (entry for entry in self._entries(after) if entry.number > after)

    def _entries(self, after: int) -> Iterator[Entry]:
        before: Entry | None = None
        for frame in self._frames(after):
            if frame.kind == DECIDED and before is not None:
                before = before._replace(decided=before.decided + read_lines(frame))
            if frame.many and frame.first + frame.many - 1 <= after:
                before = None
                continue
            for number, event in enumerate(read_events(frame), frame.first):
                if before is not None:
                    yield before
                before = Entry(number, event)
        if before is not None:
            yield before

    def _frames(self, after: int = 0) -> Iterator[Frame]:
        """Frames of all segments that have events later than that one; `HEAD` is taken off."""
        begin, following = self._first(after)
        cut, ended = 0, False
        for place, path in enumerate(self._segments[begin:], begin):
            size, good = path.stat().st_size, 0
            with path.open("rb") as file:
                for frame in frames(file, size):
                    if frame.many or frame.kind == HEAD:
                        _require_next(path, frame, following)
                    following += frame.many
                    good = file.tell()
                    ended = frame.kind == END
                    if frame.kind != HEAD:
                        yield frame
            cut = size - good
            if cut and place + 1 < len(self._segments):
                raise BadInput(
                    f"{path} is damaged at byte {good:,}: the journal cannot be read after event {following - 1:,}. "
                    "Restore the file from a backup."
                )
        self._end = cut, ended

    def _first(self, after: int) -> tuple[int, int]:
        """The place of the segment to begin with, and the number of its first event."""
        for place in range(len(self._segments) - 1, 0, -1):
            path = self._segments[place]
            with path.open("rb") as file:
                frame = next(frames(file, path.stat().st_size), None)
            if frame is not None and frame.kind == HEAD and frame.first <= after + 1:
                return place, frame.first
        return 0, 1


def _require_next(path: Path, frame: Frame, following: int) -> None:
    if frame.first != following:
        raise BadInput(
            f"{path} goes on with event {frame.first:,}, but event {following:,} comes next: it is not of this "
            "journal, or a file before it was replaced. Restore the folder from a backup."
        )
