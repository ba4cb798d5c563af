"""A folder of price files as a source: SYMBOL.csv or SYMBOL.parquet with date, open, high, low, close, volume.

SYMBOL_1m, _5m and _1h hold intraday bars, with a column of times in the place of the date (see `pricefiles`).

Prices are as-traded. Splits come from `splits.csv` (symbol, date, ratio: new shares for old, 2:1 or 2) and from the
column adj_close where a file has one; where both know a split, they must agree, and a split that the prices do not
show is refused: a wrong one would tear a hole into every return across it. Files are read anew at each call.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from quaestor import bars, fetching, pricefiles, splitfiles, splits
from quaestor.bars import DAILY, SECONDS, TIMEFRAMES
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.ports import Capabilities, History
from quaestor.pricefiles import Prices
from quaestor.splitfiles import Declared
from quaestor.symbols import Symbology

SUFFIXES = (".csv", ".parquet")
SPLITS = "splits.csv"
NAME = re.compile(rf"(.+?)(?:_({'|'.join(SECONDS)}))?$", re.IGNORECASE)
LARGEST = 256 * 2**20  # bytes of a file: about four million lines, which take some 2 GB of memory while they are read

Files = dict[tuple[str, str], Path]  # by symbol and timeframe


class FileSource:
    """A Source (see `ports`) over a folder; the symbology reads its files' names."""

    name = "files"
    capabilities = Capabilities(TIMEFRAMES)

    def __init__(self, folder: Path, symbology: Symbology | None = None) -> None:
        self._folder, self._symbology = folder, symbology or Symbology("The folder")

    def symbols(self) -> list[str]:
        """The symbols that have a file."""
        return sorted({symbol for symbol, _ in self._files()})

    def require(self, symbols: Iterable[str]) -> None:
        """Raise NotFound for the first symbol without a file, naming the folder."""
        files = self._files()
        known = {symbol for symbol, _ in files}
        for symbol in symbols:
            if symbol not in known:
                self._file(symbol, DAILY, files)

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        """Bars and splits of one symbol with start ≤ session ≤ end.

        Raises NotFound for a symbol without a file, BadInput for an unusable file or a range that misses its bars.
        """
        return await asyncio.to_thread(self._history, symbol, start, end, timeframe)

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date]:
        """First and last session in the symbol's file."""
        prices = await asyncio.to_thread(self._prices, symbol, timeframe)
        return bars.span(prices.bars)

    def _history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str) -> History:
        prices = self._prices(symbol, timeframe)
        told = splits.within(prices.splits, start, end), splits.within(prices.dividends, start, end)
        return History(bars.window(prices.bars, symbol, start, end), *told)

    def _prices(self, symbol: str, timeframe: str) -> Prices:
        fetching.refuse_timeframe(self.name, self.capabilities, timeframe)
        file = self._file(symbol, timeframe, self._files())
        prices = _read(file, symbol, timeframe)
        declared = [each for each in self._declared() if each.split.symbol == symbol]
        return replace(prices, splits=splitfiles.agreed(prices.bars, declared, prices.splits))

    def _file(self, symbol: str, timeframe: str, files: Files) -> Path:
        if (symbol, timeframe) not in files:
            known = [name for name, each in files if each == timeframe]
            name = symbol if timeframe == DAILY else f"{symbol}_{timeframe}"
            cure = f"Put {name}.csv or {name}.parquet into {self._folder}."
            raise NotFound.named("symbol", symbol, known, cure)
        return files[symbol, timeframe]

    def _declared(self) -> list[Declared]:
        file = self._folder / SPLITS
        return splitfiles.read(_bytes(file), str(file)) if file.exists() else []

    def _files(self) -> Files:
        found: Files = {}
        for path in self._price_files():
            key = self._told(path)
            if key in found:
                raise BadInput(f"{path}: {found[key].name} is a file of {key[0]} too; keep one of the two.")
            found[key] = path
        return found

    def _told(self, path: Path) -> tuple[str, str]:
        """Symbol and timeframe, as the file's name says."""
        name, timeframe = NAME.sub(r"\1|\2", path.stem, count=1).rsplit("|", 1)
        try:
            return self._symbology.ours(name.upper()), timeframe.lower() or DAILY
        except BadInput as error:
            form = "a letter, then letters, digits, '.' or '-', at most 10"
            raise BadInput(f"{path}: its name is no symbol ({form}); rename the file or move it away.") from error

    def _price_files(self) -> list[Path]:
        if not self._folder.is_dir():
            cure = "create it with SYMBOL.csv files in it, or name another"
            raise BadConfig(f"[market] folder: there is no folder {self._folder}; {cure}.")
        shown = (path for path in sorted(self._folder.iterdir()) if not path.name.startswith("."))
        return [path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file() and path.name != SPLITS]


def _read(file: Path, symbol: str, timeframe: str) -> Prices:
    if timeframe == DAILY:
        return pricefiles.read(_bytes(file), str(file), symbol)
    return Prices(pricefiles.intraday(_bytes(file), str(file), symbol, timeframe), ())


def _bytes(file: Path) -> bytes:
    try:
        if (size := file.stat().st_size) > LARGEST:
            raise BadInput(f"{file}: {size:,} bytes are more than {LARGEST:,}; write it as Parquet, or split it.")
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror}); see its permissions.") from error
