"""From files to stored bars, and from bars to signals: in steps, again, and after a vendor's correction."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quaestor import bars as ideas
from quaestor import calendar, wiring
from quaestor.config import Config
from quaestor.doors.alpaca import AlpacaSource
from quaestor.doors.files import FileSource
from quaestor.doors.http import Carrier
from quaestor.doors.postgres.database import Database
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.serving import serving
from quaestor.errors import BadInput, NotFound, Temporary
from quaestor.fetching import Patience
from quaestor.operations.generate import generate_signals
from quaestor.operations.ingest import Ingested, Intake, by_symbol, check_failed, ingest_symbol, try_window
from quaestor.ports import Run, Source
from quaestor.signals import compute

D = dt.date
NOW = dt.datetime(2013, 1, 2, tzinfo=dt.UTC)
DAYS = calendar.sessions(D(2012, 1, 3), D(2012, 3, 30))


def write(folder: Path, closes: list[float], symbol: str = "AAPL") -> FileSource:
    """A vendor's file of the first sessions, one close each."""
    pairs = enumerate(zip(DAYS, closes, strict=False))
    rows = [f"{day},{close},{close + 1 + n % 3},{close - 1},{close},{1000 + n}" for n, (day, close) in pairs]
    (folder / f"{symbol}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows, ""]))
    return FileSource(folder)


def intake(source: Source, database: Database) -> Intake:
    return Intake(source, wiring.bar_store(database), wiring.alerts(Path(), console=False), lambda: NOW)


async def test_a_first_ingest_takes_all_and_the_next_one_only_what_is_new_and_a_week_of_overlap(
    database: Database, tmp_path: Path
) -> None:
    store = wiring.bar_store(database)
    done = await ingest_symbol(intake(write(tmp_path, [100.0] * 30), database), "AAPL", None, None)
    assert (done.read, done.new, done.first, done.last) == (30, 30, DAYS[0], DAYS[29])
    again = await ingest_symbol(intake(write(tmp_path, [100.0] * 30), database), "AAPL", None, None)
    assert (again.new, again.changed) == (0, 0)
    assert again.read < 8
    more = await ingest_symbol(intake(write(tmp_path, [100.0] * 40), database), "AAPL", None, None)
    assert (more.new, more.changed, more.last) == (10, 0, DAYS[39])
    assert await store.span("AAPL") == (DAYS[0], DAYS[39])


async def test_a_late_correction_is_seen_and_an_old_one_when_it_is_asked_for(
    database: Database, tmp_path: Path
) -> None:
    await ingest_symbol(intake(write(tmp_path, [100.0] * 30), database), "AAPL", None, None)
    corrected = [100.0] * 30
    corrected[28], corrected[2] = 101.0, 102.0
    source = write(tmp_path, corrected)
    assert (await ingest_symbol(intake(source, database), "AAPL", None, None)).changed == 1
    assert (await ingest_symbol(intake(source, database), "AAPL", None, None, again=True)).changed == 1
    assert (await ingest_symbol(intake(source, database), "AAPL", None, None, again=True)).changed == 0


async def test_a_symbol_that_is_not_listed_yet_has_nothing_and_an_unknown_one_is_refused(
    database: Database, tmp_path: Path
) -> None:
    store = wiring.bar_store(database)
    source = write(tmp_path, [100.0] * 3)
    early = await ingest_symbol(intake(source, database), "AAPL", None, D(2011, 12, 30))
    assert (early.read, early.new, early.first) == (0, 0, None)
    with pytest.raises(NotFound, match="'AAPLE'"):
        await ingest_symbol(intake(source, database), "AAPLE", None, None)
    with pytest.raises(BadInput, match="no bars in 2011-01-03 … 2011-12-30"):
        await ingest_symbol(intake(source, database), "AAPL", D(2011, 1, 3), D(2011, 12, 30))
    assert (await store.frame(None, None, None)).is_empty()


async def test_a_file_with_a_bad_row_writes_nothing(database: Database, tmp_path: Path) -> None:
    source = write(tmp_path, [100.0] * 30)
    file = tmp_path / "AAPL.csv"
    file.write_text(file.read_text() + f"{DAYS[30]},100,90,101,100,1000\n")
    store = wiring.bar_store(database)
    with pytest.raises(BadInput, match=r"AAPL\.csv:32"):
        await ingest_symbol(intake(source, database), "AAPL", None, None)
    assert (await store.frame(None, None, None)).is_empty()


async def test_a_repaired_bar_makes_a_new_revision_of_the_signals_that_it_changes_and_the_old_ones_stay(
    database: Database, tmp_path: Path
) -> None:
    bars, signals = wiring.bar_store(database), wiring.signal_store(database)
    config = Config()
    plan = wiring.plan("paper", config.account.cash, ("AAPL",), config.strategies, None, config.risk)
    built = next(built for built in plan.built if built.name == "sma_crossover")
    rising = [100.0 + n for n in range(45)]

    async def generate() -> int:
        return (await generate_signals(built, bars, signals, ["AAPL"], None, None, Run("run", "commit"))).new

    await ingest_symbol(intake(write(tmp_path, rising), database), "AAPL", None, None)
    assert await generate() > 0
    assert await generate() == 0, "the same bars say the same"
    (before,) = await signals.of_sessions([built.digest], DAYS[44], DAYS[44])
    assert (before.target, before.revision, before.seen["bar_version"]) == (1.0, 1, 1)

    await ingest_symbol(intake(write(tmp_path, [*rising[:41], 120.0, 100.0, 85.0, 72.0]), database), "AAPL", None, None)
    assert 1 <= await generate() <= 4
    (after,) = await signals.of_sessions([built.digest], DAYS[44], DAYS[44])
    assert (after.target, after.revision, after.seen["bar_version"]) == (0.0, 2, 2)
    kept = await database.fetch(b"select target from signal where session = %s order by revision", [DAYS[44]])
    assert [row["target"] for row in kept] == [1.0, 0.0]
    assert await signals.computed([built.digest]) == {built.digest: (DAYS[0], DAYS[44])}


async def test_an_opinion_that_a_strategy_no_longer_has_is_retracted_and_may_come_back(
    database: Database, tmp_path: Path
) -> None:
    bars, signals = wiring.bar_store(database), wiring.signal_store(database)
    config = Config()
    plan = wiring.plan("paper", config.account.cash, ("AAPL",), config.strategies, None, config.risk)
    built = next(built for built in plan.built if built.name == "sma_crossover")
    await ingest_symbol(intake(write(tmp_path, [100.0 + n for n in range(45)]), database), "AAPL", None, None)
    history = await bars.frame(["AAPL"], None, None)
    said = compute(built, history, [], DAYS[0], DAYS[44])
    silent = said.filter(pl.col("session") != DAYS[44])
    window, run = (DAYS[0], DAYS[44]), Run("run", "commit")

    async def opinions() -> list[tuple[float, int]]:
        return [(s.target, s.revision) for s in await signals.of_sessions([built.digest], DAYS[44], DAYS[44])]

    await signals.save(built, said, window, run)
    assert await opinions() == [(1.0, 1)]
    assert await signals.save(built, silent, window, run) == 1
    assert await opinions() == []
    assert await signals.save(built, silent, window, run) == 0, "it is retracted once"
    assert await signals.save(built, said, window, run) == 1
    assert await opinions() == [(1.0, 3)]
    assert await signals.save(built, silent, (DAYS[0], DAYS[43]), run) == 0, "a session not asked about keeps its own"


# ── a symbol that fails ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_vendor_that_stays_away_is_tried_again_and_told_when_no_try_is_left(database: Database) -> None:
    server = AlpacaServer(pl.DataFrame(schema=ideas.schema()))
    server.faults[:] = [Fault("status", status=503)]
    window = ("AAPL", DAYS[0], DAYS[-1], "1d")
    with serving(server.app) as url:
        carrier = Carrier("Alpaca", ["data.alpaca.markets"], base_url=url, patience=Patience(1, 0.01, 0.01))
        ours = intake(AlpacaSource(carrier, lambda: ("key", "secret"), base_url=url), database)
        with pytest.raises(Temporary, match="AAPL: Alpaca answered 503"):
            await try_window(ours, *window)
        done = await try_window(ours, *window, last_try=True)
    assert (done.symbol, done.read) == ("AAPL", 0)
    assert "Alpaca answered 503" in done.error
    cells = await ours.store.cells(["AAPL"])
    assert [cell.period for cell in cells] == [D(2012, 1, 1), D(2012, 2, 1), D(2012, 3, 1)]
    assert {cell.error for cell in cells} == {done.error}


def rows(*done: Ingested) -> list[dict[str, Any]]:
    return [asdict(each) | {"repaired": len(each.repaired)} for each in done]


def test_the_windows_of_a_symbol_become_one_row_for_a_person() -> None:
    some = rows(
        Ingested("AAPL", 20, 20, first=DAYS[20], last=DAYS[39]),
        Ingested("IBM", error="IBM: no answer"),
        Ingested("AAPL", 20, 15, 5, first=DAYS[0], last=DAYS[19], repaired=("a", "b")),
        Ingested("AAPL", error="AAPL: no answer"),
    )
    apple, ibm = by_symbol(some)
    assert (apple["read"], apple["new"], apple["changed"], apple["repaired"]) == (40, 35, 5, 2)
    assert (apple["first"], apple["last"], apple["error"]) == (DAYS[0], DAYS[39], "AAPL: no answer")
    assert (ibm["read"], ibm["first"], ibm["error"]) == (0, None, "IBM: no answer")


@pytest.mark.parametrize(
    ("done", "strict", "said"),
    [
        pytest.param([Ingested("AAPL", 1)], True, None, id="nothing failed"),
        pytest.param([Ingested("AAPL")], True, None, id="nothing there is an answer to a backfill"),
        pytest.param([Ingested("AAPL", 1), Ingested("IBM", error="no")], False, None, id="the run goes on"),
        pytest.param(
            [Ingested("AAPL", 1), Ingested("IBM", error="no")],
            True,
            "1 of 2 symbols failed; the others are stored. no",
            id="a person at the console is told",
        ),
        pytest.param([Ingested("AAPL", 1), Ingested("AAPL", error="no")], False, None, id="a part of one symbol"),
        pytest.param([Ingested("AAPL", error="no")], False, "no", id="all of one symbol"),
        pytest.param(
            [Ingested("AAPL", error="no"), Ingested("IBM", error="neither")],
            False,
            "2 of 2 symbols failed; nothing was stored. no",
            id="all failed",
        ),
    ],
)
def test_a_failure_ends_a_run_when_nothing_was_stored_and_a_command_always(
    done: list[Ingested], strict: bool, said: str | None
) -> None:
    if said is None:
        check_failed(rows(*done), strict=strict)
        return
    with pytest.raises(BadInput) as caught:
        check_failed(rows(*done), strict=strict)
    assert str(caught.value) == said
