"""The folder door: files for a person to read, each whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from quaestor.errors import BadConfig


class Folder:
    """Implements `operations.report.Writer`: a folder that is made when something is first written."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def write(self, name: str, content: bytes) -> str:
        """Write `name` (it may hold sub-folders) and answer its path; a file that already says so is left untouched.

        A reader sees the old file or the new one, never half of it. Raises BadConfig where it cannot be written.
        """
        file = self._path / name
        try:
            if not file.is_file() or file.read_bytes() != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                _replace(file, content)
        except OSError as error:
            raise BadConfig(
                f"{error.filename or file}: cannot be written ({error.strerror}). Choose another folder for reports, "
                "or make this one writable."
            ) from error
        return str(file)


def _replace(file: Path, content: bytes) -> None:
    handle, made = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)  # a report is for others too; mkstemp makes secrets
        Path(made).replace(file)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
