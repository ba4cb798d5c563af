"""Folders for clusters and servers: in memory where there is room, for a test's database is made anew for each test.

PostgreSQL keeps its settings (fsync is on); that what it promises is on a disk then is the system's part, not ours.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes; a session's clusters take less than half


def temporary(prefix: str, otherwise: str | None = None) -> Path:
    """A new folder, which every user may enter, for PostgreSQL runs as another one when we are root.

    Whoever asks removes it. It lies in memory, or in `otherwise` (by default the system's folder for such).
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _has_room() else otherwise))
    folder.chmod(0o711)
    return folder


def _has_room() -> bool:
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    facts = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next((int(line.split()[1]) << 10 for line in facts if line.startswith("MemAvailable:")), 0)
    return min(available, shutil.disk_usage(MEMORY).free) > ROOM
