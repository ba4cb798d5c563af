"""Files of a journal: its segments by number, and which folder is whose."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from contextlib import suppress
from pathlib import Path

from quaestor.errors import BadInput, NotFound, Permanent
from quaestor.live.journaling import HEAD, Head, frames, read_head

NAMES = "[0-9]*.journal"


def segment(folder: Path, number: int) -> Path:
    """Where a segment is."""
    return folder / f"{number:06}.journal"


def segments(folder: Path) -> list[Path]:
    """A journal's files in their order; raises NotFound where there is none, or one is missing among them."""
    found = sorted(folder.glob(NAMES))
    if not found:
        raise NotFound(f"{folder} holds no journal. `quaestor live runs` lists runs with theirs.")
    for number, path in enumerate(found, 1):
        if path != (wanted := segment(folder, number)):
            raise NotFound(f"{wanted} is missing: the journal has a gap there. Restore the file from a backup.")
    return found


def head(folder: Path) -> Head:
    """What a journal's first segment says of itself."""
    path = segments(folder)[0]
    with path.open("rb") as file:
        first = next(frames(file, path.stat().st_size), None)
    if first is None or first.kind != HEAD:
        raise BadInput(f"{path} is no journal, or was torn before its first event; there is nothing to read in it.")
    return read_head(first)


def folders(folder: Path) -> list[Path]:
    """The journals in a folder of them, whether they can be read or not, by when they were written last."""
    found = {path.parent for path in folder.glob(f"*/{NAMES}")}
    return sorted(found, key=lambda path: (written(path), path))


def written(folder: Path) -> dt.datetime:
    """When a journal was written last."""
    return dt.datetime.fromtimestamp(max(path.stat().st_mtime for path in folder.glob(NAMES)), dt.UTC)


def journals(folder: Path) -> dict[Path, Head]:
    """Those that can be read, by when they began; each with what it says of itself."""
    found = {}
    for path in folders(folder):
        with suppress(Permanent):
            found[path] = head(path)
    return dict(sorted(found.items(), key=lambda item: (item[1].began, item[0])))


def forget(folder: Path, before: dt.datetime) -> int:
    """Remove the journals in a folder of them that were last written before that moment; bytes freed."""
    freed = 0
    for path in folders(folder):
        if written(path) < before:
            freed += sum(file.stat().st_size for file in path.iterdir())
            shutil.rmtree(path)
    return freed


def find(folder: Path, named: str) -> Path:
    """The journal of the run with that id, or whose id begins so, or `last`; a path is taken as it is."""
    if ("/" in named or Path(named).is_dir()) and head(Path(named)):
        return Path(named)
    known = journals(folder)
    if named == "last" and known:
        return list(known)[-1]
    fitting = [path for path, said in known.items() if str(said.run).startswith(named.lower()) or path.name == named]
    if len(fitting) == 1 and named:
        return fitting[0]
    runs = [str(said.run) for said in known.values()]
    if fitting:
        raise BadInput(f"{named!r} begins the ids of {len(fitting)} runs: {', '.join(runs[:5])}. Give more of it.")
    raise NotFound.named("run", named, [*runs, "last"], f"Journals are looked for in {folder}.")


def sync_folder(folder: Path) -> None:
    """Names in it are on the disk afterwards."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
