"""A folder of price files as a source: SYMBOL.csv or SYMBOL.parquet with date, open, high, low, close, volume.

Prices are as-traded. Splits come from `splits.csv` (symbol, date, ratio: new shares for old, 2:1 or 2) and from the
column adj_close where a file has one; where both know a split, they must agree, and a split that the prices do not
show is refused: a wrong one would tear a hole into every return across it. Files are read anew at each call.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from quaestor import bars, pricefiles, splitfiles, splits
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.ports import History
from quaestor.pricefiles import Prices
from quaestor.splitfiles import Declared

SUFFIXES = (".csv", ".parquet")
SPLITS = "splits.csv"


class FileSource:
    """A Source (see `ports`) over a folder."""

    name = "files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def symbols(self) -> list[str]:
        """The symbols that have a file."""
        return sorted(self._files())

    def require(self, symbols: Iterable[str]) -> None:
        """Raise NotFound for the first symbol without a file, naming the folder."""
        files = self._files()
        for symbol in symbols:
            self._file(symbol, files)

    async def history(self, symbol: str, start: dt.date, end: dt.date) -> History:
        """Bars and splits of one symbol with start ≤ session ≤ end.

        Raises NotFound for a symbol without a file, BadInput for an unusable file or a range that misses its bars.
        """
        return await asyncio.to_thread(self._history, symbol, start, end)

    async def span(self, symbol: str) -> tuple[dt.date, dt.date]:
        """First and last session in the symbol's file."""
        prices = await asyncio.to_thread(self._prices, symbol)
        return bars.span(prices.bars)

    def _history(self, symbol: str, start: dt.date, end: dt.date) -> History:
        prices = self._prices(symbol)
        return History(bars.window(prices.bars, symbol, start, end), splits.within(prices.splits, start, end))

    def _prices(self, symbol: str) -> Prices:
        file = self._file(symbol, self._files())
        prices = pricefiles.read(_bytes(file), str(file), symbol)
        declared = [each for each in self._declared() if each.split.symbol == symbol]
        return Prices(prices.bars, splitfiles.agreed(prices.bars, declared, prices.splits))

    def _file(self, symbol: str, files: Mapping[str, Path]) -> Path:
        if symbol not in files:
            raise NotFound.named("symbol", symbol, files, f"Put {symbol}.csv or {symbol}.parquet into {self._folder}.")
        return files[symbol]

    def _declared(self) -> list[Declared]:
        file = self._folder / SPLITS
        return splitfiles.read(_bytes(file), str(file)) if file.exists() else []

    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in self._price_files():
            symbol = path.stem.upper()
            if not re.fullmatch(bars.SYMBOL, symbol):
                form = "a letter, then letters, digits, '.' or '-', at most 10"
                raise BadInput(f"{path}: its name is no symbol ({form}); rename the file or move it away.")
            if symbol in found:
                raise BadInput(f"{path}: {found[symbol].name} is a file of {symbol} too; keep one of the two.")
            found[symbol] = path
        return found

    def _price_files(self) -> list[Path]:
        if not self._folder.is_dir():
            cure = "create it with SYMBOL.csv files in it, or name another"
            raise BadConfig(f"[market] folder: there is no folder {self._folder}; {cure}.")
        shown = (path for path in sorted(self._folder.iterdir()) if not path.name.startswith("."))
        return [path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file() and path.name != SPLITS]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror}); see its permissions.") from error
