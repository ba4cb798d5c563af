"""File locks: the kernel remembers who lives.

A flock falls when the last descriptor of its holder closes. A `kill -9` therefore leaves none behind, and no process
id has to be believed. A program we start does not inherit a lock unless it is given the descriptor; a forked child
closes what it inherited, so that it never keeps its parent's place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[int] = set()  # descriptors of this process that carry a lock


def take(path: Path, *, patient: bool = True) -> int:
    """Hold the lock of `path`, made when missing, after whoever holds it now. Gives the descriptor, for `drop`.

    Who is not patient hears BlockingIOError where somebody holds it.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _held.add(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
            if _is_file_of(descriptor, path):
                return descriptor
        except BaseException:
            drop(descriptor)
            raise
        drop(descriptor)  # the file was removed while we waited: its lock guards nothing any more


def drop(descriptor: int) -> None:
    """Let the lock go."""
    _held.discard(descriptor)
    os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the lock of `path` for a block of code; gives the descriptor."""
    descriptor = take(path)
    try:
        yield descriptor
    finally:
        drop(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of `path`. Two who ask at once do not see each other (a shared lock)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _forget_parents_locks() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_parents_locks)
