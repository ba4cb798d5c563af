"""The kill switch's second half: a file beside the database's latch (law 6).

A halt must hold while the database is away, and after a backup brought an older one back. So it is written to a file in
QUAESTOR_HOME first, and counts wherever either of the two says so; it ends only when both are cleared.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from quaestor.latches import HALT
from quaestor.ports import ControlStore, Latch, Reconciliation


class Switch:
    """Implements `ports.ControlStore`: the given one, with a file for the latch `halt`."""

    def __init__(self, control: ControlStore, folder: Path) -> None:
        self._control = control
        self._folder = folder

    async def set_latch(self, account: str, name: str, reason: str) -> bool:
        """Latch; False when it already was. A halt is in its file even where the database then raises DatabaseDown."""
        new = name == HALT and not place(self._folder, account).exists()
        if new:
            write(self._folder, account, reason)
        return await self._control.set_latch(account, name, reason) or new

    async def clear_latch(self, account: str, name: str, reason: str) -> bool:
        """Clear, the file last: until both are gone, it is a halt. False when neither was latched."""
        cleared = await self._control.clear_latch(account, name, reason)
        file = place(self._folder, account)
        if name == HALT and file.exists():
            file.unlink()
            return True
        return cleared

    async def latches(self, account: str) -> list[Latch]:
        """What stops entries now; the file's halt is one."""
        found, halt = await self._control.latches(account), in_file(self._folder, account)
        return found if halt is None or any(latch.name == HALT for latch in found) else [halt, *found]

    async def save_reconciliation(self, account: str, outcome: Reconciliation, flow_run_id: str | None) -> None:
        """Keep the outcome of a comparison."""
        await self._control.save_reconciliation(account, outcome, flow_run_id)

    async def last_reconciliation(self, account: str) -> Reconciliation | None:
        """The newest comparison."""
        return await self._control.last_reconciliation(account)


def place(folder: Path, account: str) -> Path:
    """Where the halt of an account is written: its presence is the halt, its text the reason."""
    return folder / f"{account}.halt"


def in_file(folder: Path, account: str) -> Latch | None:
    """The halt that the file holds; None where there is none."""
    file = place(folder, account)
    try:
        reason, at = file.read_text(encoding="utf-8").strip(), file.stat().st_mtime
    except FileNotFoundError:
        return None
    return Latch(HALT, f"{reason} (by the file {file.name})", dt.datetime.fromtimestamp(at, dt.UTC), kept=False)


def write(folder: Path, account: str, reason: str) -> Path:
    """Whole or not at all, and on the disk when this returns; a halt that is there keeps its first reason."""
    file = place(folder, account)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as stream:
            stream.write(f"{reason}\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    return file
