"""What a bot's database holds, as far as a guess needs it: tables, columns, a few values of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column: its name, its declared type (SQLite enforces none), and some of its values."""

    name: str
    declared: str = ""
    samples: Sequence[Any] = ()


@dataclass(frozen=True)
class Table:
    """A table and how many rows it has; `rowids`: each row has a rowid, by which it is known from now on."""

    name: str
    columns: Sequence[Column]
    rows: int = 0
    rowids: bool = True

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]
