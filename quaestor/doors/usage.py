"""What processes use: CPU seconds and memory of whole process trees, out of Linux's /proc.

A parent's figures include children that ended and were waited for, so a tree's CPU time is complete however short-lived
its children are. Where there is no /proc, nothing is known and nothing is claimed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far, and bytes of memory now (proportional to sharing where the kernel says so)."""

    cpu: float = 0.0
    memory: int = 0


def sample(roots: Iterable[int]) -> Usage:
    """The usage of these processes and all their living descendants; ended roots count nothing."""
    family = _families()
    found: set[int] = set()
    waiting = [pid for pid in roots if (PROC / str(pid)).exists()]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += family.get(pid, [])
    return Usage(sum(map(_cpu, found)), sum(map(_memory, found)))


def _families() -> dict[int, list[int]]:
    """Children by parent."""
    family: dict[int, list[int]] = {}
    if PROC.is_dir():
        for entry in PROC.iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))):
                family.setdefault(int(fields[1]), []).append(int(entry.name))
    return family


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command's name: state, parent, …"""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []  # it ended while we looked


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _memory(pid: int) -> int:
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0  # it ended, or is another user's
    return 0
