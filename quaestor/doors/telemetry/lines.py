"""Lines in a file that is turned over when it is full: `live.jsonl`, then `live.jsonl.1` (the one before), `.2` …"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

MODE = 0o600  # what was traded is its owner's business


class Lines:
    """A sink of lines. bytes: how long a file grows; keep: how many full ones stay."""

    def __init__(self, path: Path, most: int, keep: int) -> None:
        self._path, self._most, self._keep = path, most, keep
        self._file: IO[bytes] | None = None

    def write(self, items: Sequence[str]) -> bool:
        """Append them; False where the disk does not take them."""
        try:
            for item in items:
                self._append(f"{item}\n".encode())
            if self._file is not None:
                self._file.flush()
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # what could not be flushed was counted as lost
                return

    def _append(self, line: bytes) -> None:
        if self._file is not None and self._file.tell() + len(line) > self._most:
            self._turn()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE), "ab")
            if self._file.tell() and self._file.tell() + len(line) > self._most:
                self._turn()
                return self._append(line)
        self._file.write(line)
        return None

    def _turn(self) -> None:
        self.close()
        old = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        if self._keep == 0:
            self._path.unlink(missing_ok=True)
        for here, there in zip(reversed(old[:-1]), reversed(old[1:]), strict=True):
            if here.exists():
                here.replace(there)
