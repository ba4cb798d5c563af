"""The recorded market: its sessions, its splits, its ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import shutil
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors import recorded
from quaestor.doors.recorded import RecordedSource
from quaestor.errors import BadInput, NotFound, PartMissing
from quaestor.splits import Split

D = dt.date
ALL = (D(1990, 1, 1), D(2026, 1, 1))
FIRST = {
    "AAPL": D(2000, 3, 1),
    "FB": D(2012, 5, 18),
    "GOOG": D(2004, 8, 19),
    "IBM": D(2000, 3, 1),
    "MSFT": D(2000, 3, 1),
}
LAST = D(2013, 3, 1)


@pytest.fixture(scope="module")
def source() -> RecordedSource:
    return RecordedSource()


def test_five_symbols_are_recorded(source: RecordedSource) -> None:
    assert source.name == "recorded"
    assert source.symbols() == sorted(FIRST)


@pytest.mark.parametrize("symbol", sorted(FIRST))
async def test_every_exchange_session_is_recorded_and_no_other_day(source: RecordedSource, symbol: str) -> None:
    history = await source.history(symbol, *ALL)
    assert await source.span(symbol) == (FIRST[symbol], LAST)
    assert history.bars["session"].to_list() == calendar.sessions(FIRST[symbol], LAST)
    assert D(2012, 10, 29) not in history.bars["session"]


@pytest.mark.parametrize("symbol", sorted(FIRST))
async def test_history_is_a_bars_frame_stamped_with_the_closes(source: RecordedSource, symbol: str) -> None:
    frame = (await source.history(symbol, D(2012, 11, 1), LAST)).bars
    assert frame.schema == pl.Schema(bars.schema())
    assert frame["symbol"].unique().to_list() == [symbol]
    assert frame["ts"].to_list() == [calendar.session_close(day) for day in frame["session"]]


async def test_prices_are_as_traded(source: RecordedSource) -> None:
    frame = (await source.history("AAPL", D(2005, 2, 25), D(2005, 2, 28))).bars
    assert frame["close"].to_list() == [88.99, 44.86]
    assert frame["volume"].dtype == pl.Int64


async def test_exactly_three_splits_are_derived_and_the_special_dividend_is_none(source: RecordedSource) -> None:
    found = [split for symbol in source.symbols() for split in (await source.history(symbol, *ALL)).splits]
    assert found == [
        Split("AAPL", D(2000, 6, 21), Fraction(2), "derived"),
        Split("AAPL", D(2005, 2, 28), Fraction(2), "derived"),
        Split("MSFT", D(2003, 2, 18), Fraction(2), "derived"),
    ]
    assert (await source.history("MSFT", D(2004, 11, 15), D(2004, 11, 15))).splits == ()


@pytest.mark.parametrize(
    ("start", "end", "splits"),
    [
        pytest.param(D(2005, 2, 28), D(2005, 2, 28), 1, id="the window begins on the split's session"),
        pytest.param(D(2005, 2, 1), D(2005, 2, 25), 0, id="it ends before"),
        pytest.param(D(2005, 3, 1), D(2005, 3, 31), 0, id="it begins after"),
    ],
)
async def test_a_history_tells_the_splits_inside_its_window(
    source: RecordedSource, start: dt.date, end: dt.date, splits: int
) -> None:
    history = await source.history("AAPL", start, end)
    assert len(history.splits) == splits
    assert history.bars["session"].to_list() == calendar.sessions(start, end)


async def test_an_unknown_symbol_is_answered_with_the_nearest(source: RecordedSource) -> None:
    for ask in (source.span("APPL"), source.history("APPL", *ALL)):
        with pytest.raises(NotFound, match=r"Unknown symbol 'APPL'\. Did you mean 'AAPL'\? Known: AAPL, FB"):
            await ask


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        pytest.param(D(1999, 1, 1), D(1999, 12, 31), "its bars go from 2012-05-18 to 2013-03-01", id="before"),
        pytest.param(D(2014, 1, 1), D(2014, 12, 31), "its bars go from 2012-05-18 to 2013-03-01", id="after"),
        pytest.param(D(2013, 1, 2), D(2013, 1, 1), "FB: the range 2013-01-02 … 2013-01-01 is empty", id="empty"),
    ],
)
async def test_a_range_that_misses_the_recording_is_refused(
    source: RecordedSource, start: dt.date, end: dt.date, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        await source.history("FB", start, end)


async def test_the_file_is_read_once_even_by_many_at_a_time(tmp_path: Path) -> None:
    copy = Path(shutil.copy(recorded.locate(), tmp_path))
    source = RecordedSource(copy)
    together = await asyncio.gather(*(source.history(symbol, *ALL) for symbol in FIRST))
    copy.unlink()
    again = [await source.history(symbol, *ALL) for symbol in FIRST]
    assert [history.bars.height for history in together] == [history.bars.height for history in again]


def test_a_missing_package_is_named_with_its_cure() -> None:
    with pytest.raises(PartMissing, match=r"no package 'no_such_package'\. Install it: pip install no_such_package"):
        recorded.locate("no_such_package")


def test_a_package_without_its_file_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(PartMissing, match=r"no file .*none\.csv\.gz\. Install the package again: pip install"):
        RecordedSource(tmp_path / "none.csv.gz").symbols()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: raw[:2000], id="cut short"),
        pytest.param(lambda raw: raw[:2000] + b"junk" * 9 + raw[2036:], id="overwritten in the middle"),
        pytest.param(lambda _: b"junk", id="no gzip at all"),
    ],
)
def test_a_broken_recording_is_refused(tmp_path: Path, damage: object) -> None:
    file = tmp_path / "stocks.csv.gz"
    file.write_bytes(damage(recorded.locate().read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadInput, match=r"stocks\.csv\.gz: not a sound gzip file \(.+\)\. Install"):
        RecordedSource(file).symbols()


def test_a_bad_row_in_a_recording_is_named_by_its_line(tmp_path: Path) -> None:
    lines = gzip.decompress(recorded.locate().read_bytes()).decode().splitlines()
    lines[4] = lines[4].replace("125.69", "-125.69")
    file = tmp_path / "stocks.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(BadInput, match=r"stocks\.csv:5: field 'Close': -125.69 is not above zero"):
        RecordedSource(file).symbols()


async def test_only_days_were_recorded(source: RecordedSource) -> None:
    for ask in (source.history("AAPL", *ALL, "1m"), source.span("AAPL", "1m")):
        with pytest.raises(BadInput, match=r"The source 'recorded' has no 1m bars, but: 1d\. Choose one, or another"):
            await ask
