"""The vault's files: whole and on the disk before they take their names, under a lock, for their owner alone."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from quaestor.errors import QuaestorError, VaultAway, VaultRefused

PATIENCE = 10.0  # seconds that another writer is waited for
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def read(path: Path) -> bytes | None:
    """What it holds; None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise told(path, "read", error) from error


def write_private(path: Path, content: bytes) -> None:
    """Written for its owner alone, and on the disk before it takes its name: a crash leaves what was there."""
    draft = path.with_suffix(".new")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        keep_names(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise told(path, "written", error) from error


def make_folder(folder: Path) -> None:
    """The folder, for its owner alone."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep_names(folder.parent)
    except OSError as error:
        raise told(folder, "made", error) from error


def keep_names(folder: Path) -> None:
    """What a folder lists is on the disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time, over all processes; a writer that is killed lets go. Raises VaultAway after `PATIENCE`."""
    make_folder(folder)
    try:
        lock = os.fdopen(os.open(folder / "lock", os.O_RDONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise told(folder / "lock", "opened", error) from error
    with lock:
        _wait_for(lock, folder)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a child that was forked meanwhile holds it, too


def _wait_for(lock: IO[str], folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise VaultAway(
                    f"Another process has been writing to the vault {folder} for {PATIENCE:.0f} seconds. "
                    f"`fuser {folder / 'lock'}` says which; end it, or try again."
                ) from None
            time.sleep(0.01)
        except OSError as error:
            raise told(folder / "lock", "locked", error) from error
        else:
            return


def told(path: Path, what: str, error: OSError) -> QuaestorError:
    """The error by what happens next; the vault is as it was."""
    why = f"{path} cannot be {what} ({error.strerror or error}); the vault is as it was."
    if error.errno in PASSING:
        return VaultAway(f"{why} Make room on the disk, then try again.")
    return VaultRefused(f"{why} See the owner and the mode of the file and of its folder.")
