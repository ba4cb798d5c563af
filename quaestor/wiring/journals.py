"""Journals of live runs: where they are, which one is meant, and how old ones are packed away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.errors import Permanent
from quaestor.wiring.configuration import Loaded

if TYPE_CHECKING:
    from quaestor.doors.journal import JournalReader


def journals_folder(loaded: Loaded) -> Path:
    """Where journals of live runs are, a folder for each."""
    return loaded.home / "journals"


def journal_folder(loaded: Loaded, run: str) -> Path:
    """The journal of a run: by its id, the beginning of it, `last`, or a path."""
    from quaestor.doors.journal import find

    return find(journals_folder(loaded), run)


def journals_of(home: Path, day: dt.date) -> list[Path]:
    """Journals that were last written on that day, New York's, in that order."""
    from quaestor.calendar import NEW_YORK
    from quaestor.doors.journal import folders, written

    return [path for path in folders(home / "journals") if written(path).astimezone(NEW_YORK).date() == day]


def journal(folder: Path) -> JournalReader:
    """A run's journal, to be read."""
    from quaestor.doors.journal import JournalReader

    return JournalReader(folder)


def tidy_journals(home: Path, folders: Sequence[Path], keep_days: int) -> int:
    """Pack these journals, and remove those that were last written longer ago than so many days (0: none); bytes freed.

    What cannot be read is left as it is: a person will want to see it.
    """
    from quaestor.doors.journal import forget, pack

    freed = 0
    for folder in folders:
        with suppress(Permanent):
            freed += pack(folder)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=keep_days)
    return freed + (forget(home / "journals", before) if keep_days else 0)
