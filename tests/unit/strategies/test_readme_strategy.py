"""The README's strategy works as it stands there: copied into the folder, it is found, runs, and looks at no future."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from quaestor.doors import strategy_folder
from quaestor.doors.recorded import RecordedSource
from quaestor.signals import compute
from quaestor.strategies.catalogue import Catalogue
from quaestor.truncation import check

README = Path(__file__).resolve().parents[3] / "README.md"


async def test_the_readmes_strategy_runs_on_real_prices(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "dip.py").write_text(code, encoding="utf-8")
    built = Catalogue(strategy_folder.read(tmp_path)).build("dip")
    source = RecordedSource()
    first, last = await source.span("AAPL")
    history = await source.history("AAPL", first, last)
    bars = history.bars.with_columns(version=pl.lit(1, pl.Int32))
    signals = compute(built, bars, history.splits, first, last)
    assert len(signals) == len(bars) - 19
    assert set(signals["target"].unique()) == {0.0, 0.2}
    assert check(built, bars, history.splits, bars["session"].to_list()[1000:1010]) == []
