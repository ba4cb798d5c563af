"""Who holds a lease: a process of this machine, by a name under which its successor knows whether it is gone.

    machine:process:role:place.began

The place is a digest of the machine's boot and of its process ids' namespace (a container has one of its own): only
there do process ids mean anything, and elsewhere nobody is ever called gone. A process that has the same id but began
at another time is another one. Where the system does not say (no /proc), a lease runs out by the database's clock.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path

PROC = Path("/proc")
DEAD = ("Z", "X")  # a process that only waits for its parent to hear of its end


def me(role: str) -> str:
    """This process, in that role."""
    name, known = f"{platform.node()}:{os.getpid()}:{role}", _life(os.getpid())
    return f"{name}:{_place()}.{known[1]}" if known is not None and _place() else name


def gone(holder: str) -> bool:
    """Whether that process surely has ended; False where nobody here can know."""
    head, _, mark = holder.rpartition(":")
    place, _, began = mark.partition(".")
    words = head.split(":")
    if len(words) < 3 or not place or place != _place() or not words[-2].isdigit():
        return False
    pid = int(words[-2])
    known = _life(pid)
    if known is None:
        return not _exists(pid)
    return known[1] != began or known[0] in DEAD


@lru_cache(maxsize=1)
def _place() -> str:
    """Where this machine's process ids count: its name, boot and namespace; empty where the system does not say."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
    return hashlib.sha256(f"{platform.node()} {boot} {space}".encode()).hexdigest()[:12]


def _life(pid: int) -> tuple[str, str] | None:
    """Its state, and when it began (ticks since the boot); None where the system does not say.

    A leader that ended while others of its threads go on is no dead process.
    """
    try:
        told = (PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
        threads = sum(1 for _ in (PROC / f"{pid}/task").iterdir())
    except OSError:
        return None
    words = told.rpartition(")")[2].split()  # its name, before that, may hold anything
    return ("?" if threads > 1 else words[0]), words[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or no id at all
        pass
    return True
