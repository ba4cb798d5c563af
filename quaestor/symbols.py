"""Symbols: one canonical spelling inside, each vendor's own at its door.

A canonical symbol is as `bars.SYMBOL` says; a share class follows a dot: BRK.B, where others write BRK-B, BRK/B, BRK B
or BRKB. A `Symbology` is one vendor's spelling; it maps both ways, and refuses a symbol that would not come back as
itself: two of our symbols must never share one vendor's name, else one would trade on the other's prices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from quaestor.bars import SYMBOL
from quaestor.errors import BadConfig, BadInput

CLASS = "."  # stands between a share and its class in a canonical symbol


@dataclass(frozen=True)
class Symbology:
    """How a vendor writes symbols: what stands before a share class, and names that follow no rule (ours = theirs)."""

    vendor: str = "the source"
    separator: str = CLASS
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.separator and re.search(r"[A-Z0-9]", self.separator, re.IGNORECASE):
            raise BadConfig(f"{self.vendor}: {self.separator!r} cannot stand before a share class; it is in names too.")
        for ours, theirs in self.aliases.items():
            if not _canonical(ours):
                raise BadConfig(f"[market.aliases] {ours!r} is no symbol; write it like AAPL or BRK.B.")
            if ours != next(key for key, value in self.aliases.items() if value == theirs):
                raise BadConfig(f"[market.aliases] {ours}: another symbol is called {theirs!r} too; correct one.")

    def theirs(self, symbol: str) -> str:
        """The vendor's name of a canonical symbol; raises BadInput for one that would not map back."""
        if not _canonical(symbol):
            raise BadInput(f"{symbol!r} is no symbol; write it like AAPL or BRK.B.")
        name = self.aliases.get(symbol) or symbol.replace(CLASS, self.separator)
        if (back := self._back(name)) != symbol:
            there = f"{self.vendor} calls it {name!r}, which is our {back}"
            raise BadInput(f"{symbol}: {there}; name it under [market.aliases], {symbol!r} = its name there.")
        return name

    def ours(self, name: str) -> str:
        """The canonical symbol of a vendor's name; raises BadInput for what is none."""
        symbol = self._back(name)
        if not _canonical(symbol):
            cure = "under [market.aliases]"
            raise BadInput(f"{self.vendor} speaks of {name[:40]!r}, which is no symbol; name ours {cure}.")
        return symbol

    def _back(self, name: str) -> str:
        named = next((ours for ours, theirs in self.aliases.items() if theirs == name), None)
        return named or (name.replace(self.separator, CLASS) if self.separator else name)


def _canonical(symbol: str) -> bool:
    return bool(re.fullmatch(SYMBOL, symbol))
