"""Packing a journal: ticks by columns, compressed, once nobody writes it any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from quaestor.doors.journal.files import segments, sync_folder
from quaestor.doors.journal.reading import JournalReader
from quaestor.live.journaling import HEAD, MAGIC, TICKS, Frame, encode, framed, frames, packed, read_head

TOGETHER = 3 << 20  # bytes of ticks that are packed together: some 65,000


def pack(folder: Path) -> int:
    """Write a journal's closed segments anew, packed; how many bytes that saves. The last of a killed run stays."""
    ended = JournalReader(folder).ended  # which reads it once, whole: nothing damaged is written anew
    paths = segments(folder)
    return sum(_pack(path) for path in (paths if ended else paths[:-1]))


def _pack(path: Path) -> int:
    stat, anew = path.stat(), path.with_suffix(".packing")
    with path.open("rb") as file:
        found = frames(file, stat.st_size)
        first = next(found)
        said = read_head(first)
        if said.packed:
            return 0
        with os.fdopen(os.open(anew, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(MAGIC + framed(HEAD, first.first, 0, encode(msgspec.structs.replace(said, packed=True))))
            for part in _packed(found):
                out.write(part)
            out.flush()
            os.fsync(out.fileno())
    os.utime(anew, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # nothing was added to it
    anew.replace(path)
    sync_folder(path.parent)
    return stat.st_size - path.stat().st_size


def _packed(found: Iterable[Frame]) -> Iterator[bytes]:
    """The same frames, with ticks that follow each other in one."""
    gathered, size = list[Frame](), 0
    for frame in found:
        if frame.kind in TICKS:
            gathered.append(frame)
            if (size := size + len(frame.payload)) < TOGETHER:
                continue
        yield _together(gathered)
        gathered, size = [], 0
        if frame.kind not in TICKS:
            yield framed(*frame)
    yield _together(gathered)


def _together(gathered: Sequence[Frame]) -> bytes:
    one = packed(gathered) if gathered else None
    return one or b"".join(framed(*each) for each in gathered)
