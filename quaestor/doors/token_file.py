"""The console's token: whoever holds it may write triggers. A file in the data folder that only its owner can read.

A file and not the vault, for other programs take it from there (`curl`, Prometheus' `credentials_file`). Made once, in
one step: two consoles that start together have the same.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from quaestor.errors import BadConfig, PartMissing

NAME = "console.token"
SHORTEST = 32  # characters


def place(home: Path) -> Path:
    """Where it lies."""
    return home / NAME


def token(home: Path) -> str:
    """The token; made where there is none. Raises BadConfig where others can read it, or it is too short to be one."""
    file = place(home)
    try:
        if not file.exists():
            _make(file)
        open_to = stat.S_IMODE(file.stat().st_mode) & 0o077
        found = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PartMissing(f"{file}: the console's token cannot be used ({error}); see the folder's owner.") from error
    if open_to:
        raise BadConfig(f"{file} can be read by others: whoever did may trade. Delete it; a new one is made.")
    if len(found) < SHORTEST:
        raise BadConfig(f"{file} holds {len(found)} characters, which is no token. Delete it; a new one is made.")
    return found


def _make(file: Path) -> None:
    """Whole or not at all; one that another made meanwhile stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(f"{secrets.token_urlsafe(32)}\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
