"""Places where something may be left behind: files, the process list, and the objects of this process."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Collection, Iterator
from pathlib import Path

PROC = Path("/proc")
OURS = ("quaestor", "flows", "tasks", "blocks", "deployments")


def files(folder: Path, but: Collection[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Each file below the folder, as it is now; not those below `but`."""
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(each) for each in but):
            continue
        with contextlib.suppress(OSError):  # it is gone, or a socket
            if path.is_file():
                yield f"file {path.relative_to(folder)}", path.read_bytes()


def processes() -> Iterator[tuple[str, bytes]]:
    """Command line and environment of each process that we may look into."""
    for place in sorted(PROC.glob("[0-9]*")):
        for what in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                yield f"process {place.name} {what}", (place / what).read_bytes()


def objects(but: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    """How each object of our own classes shows itself; not those of modules that begin so."""
    for each in gc.get_objects():
        module = str(getattr(type(each), "__module__", ""))
        if module.partition(".")[0] in OURS and not module.startswith(tuple(but)):
            with contextlib.suppress(Exception):  # an object that is half made
                yield f"repr of {module}.{type(each).__qualname__}", repr(each).encode(errors="replace")
