"""The code door: which commit is running, for provenance.

Only the checkout that this package stands in answers. An installed package may lie inside the checkout of something
else (a virtual environment in a person's own project): that project's commit says nothing about this code.
"""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # a git hook's: they point git at the repository it serves


@lru_cache(maxsize=1)
def commit() -> str:
    """The commit of this code, with "+changes" for uncommitted ones; QUAESTOR_COMMIT where git is not (an image)."""
    return os.environ.get("QUAESTOR_COMMIT") or commit_of(ROOT)


def commit_of(checkout: Path) -> str:
    """The commit that is checked out in this very folder; "unknown" where it is no checkout, or only lies in one."""
    top, _, head = _git(checkout, "rev-parse", "--show-toplevel", "HEAD").partition("\n")
    if not head or Path(top).resolve() != checkout:
        return "unknown"
    return f"{head}+changes" if _git(checkout, "status", "--porcelain", "--untracked-files=no") else head


def _git(folder: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
