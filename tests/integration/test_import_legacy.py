"""An old bot's books come along: whole or not at all, once, proved; and the bot's own folder sees no write."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from quaestor import bars, calendar, wiring
from quaestor.doors.legacy_sqlite import LegacyFile
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.legacy import LegacyBooks
from quaestor.errors import BadInput, BooksDisagree, NotFound, QuaestorError, Temporary
from quaestor.legacy import guess
from quaestor.legacy.judge import Terms
from quaestor.legacy.parity import Report
from quaestor.operations.import_legacy import import_legacy
from tests.integration.in_process import quaestor

D = Decimal
QUAESTOR = Path(sys.executable).with_name("quaestor")
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
TERMS = Terms(ZoneInfo("America/New_York"), NOW)
DAYS = calendar.sessions(dt.date(2024, 1, 2), dt.date(2024, 1, 12))
TABLES = ("legacy_import", "legacy_price", "legacy_order", "legacy_trade", "load", "bar_1d", "instrument")
BOT = """
create table prices (id integer primary key, ticker text, date text, open real, high real, low real, close real,
                     volume integer);
create table quotes (symbol text, ts real, last_price real);
create table orders (order_id text, symbol text, side text, qty real, limit_price real, status text, created_at text,
                     account_number text);
create table trades (id integer primary key, symbol text, side text, qty real, price real, fees real, timestamp text,
                     pnl real);
create table settings (name text, value text);
"""


def fill(path: Path, days: list[dt.date] = DAYS) -> None:
    """A bot that ran for some days."""
    with closing(sqlite3.connect(path)) as bot, bot:
        bot.executescript(BOT)
        daily = [("AAPL", str(day), 100.1 + n, 102.5 + n, 99.0 + n, 101.3 + n, 1_000 + n) for n, day in enumerate(days)]
        bot.executemany(
            "insert into prices (ticker, date, open, high, low, close, volume) values (?,?,?,?,?,?,?)", daily
        )
        polled = [("AAPL", 1_704_207_600.25 + 60 * n, 100.1 + n / 10) for n in range(30)]
        bot.executemany("insert into quotes values (?,?,?)", polled)
        bot.execute(
            "insert into orders values ('o1', 'AAPL', 'buy', 10, 100.5, 'filled', '2024-01-02 09:31:00', '123456789')"
        )
        bot.executemany(
            "insert into trades (symbol, side, qty, price, fees, timestamp, pnl) values ('AAPL',?,?,?,?,?,?)",
            [
                ("BUY", 10, 100.5, 0.1, "2024-01-02 09:31:02", None),
                ("SELL", 4, 103.25, 0.1, "2024-01-04 10:00:00", 10.9),
                ("BUY", 0.3, 0.1 + 0.2, None, "2024-01-05 10:00:00", None),
            ],
        )


def spoil(path: Path) -> None:
    with closing(sqlite3.connect(path)) as bot, bot:
        bot.execute(
            "insert into prices (ticker, date, open, high, low, close, volume) values ('AAPL','2024-01-06',1,1,1,1,1)"
        )
        bot.execute("insert into quotes values ('AAPL', 1704207600.25, 7)")
        bot.execute(
            "insert into trades (symbol, side, qty, price, timestamp) values ('AAPL', 'HOLD', 1, 1, '2024-01-05')"
        )


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    (tmp_path / "bot").mkdir()
    fill(tmp_path / "bot" / "bot.db")
    return tmp_path / "bot" / "bot.db"


async def bring(database: Database, path: Path, folder: Path, *, keep: bool = True) -> Report:
    with LegacyFile(path, folder) as file:
        found = guess.guess(file.tables())
        assert found.mapping is not None
        return await import_legacy(file, wiring.legacy_store(database), found.mapping, TERMS, keep=keep)


async def counts(database: Database) -> dict[str, int]:
    rows = {name: await database.fetch(f"select count(*) as n from {name}".encode()) for name in TABLES}
    return {name: found[0]["n"] for name, found in rows.items()}


def seen(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Names, bytes and times of a folder, and its own time."""
    found = {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in folder.iterdir()}
    return found | {".": (b"", folder.stat().st_mtime_ns)}


# ── what is stored ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_prices_orders_and_trades_come_along_with_their_provenance(
    database: Database, bot: Path, tmp_path: Path
) -> None:
    report = await bring(database, bot, tmp_path)
    assert report.same
    assert {table.table: table.loaded for table in report.tables} == {
        "prices": 9,
        "quotes": 30,
        "orders": 1,
        "trades": 3,
    }
    stored = await wiring.bar_store(database).frame(["AAPL"], None, None)
    assert stored["session"].to_list() == DAYS
    assert stored["close"][0] == 101.3
    assert await database.fetch(b"select distinct source from load") == [{"source": "legacy"}]
    (order,) = await database.fetch(b"select raw, at, digest from legacy_order")
    assert order["raw"]["account_number"] == "********"
    assert order["at"] == dt.datetime(2024, 1, 2, 14, 31, tzinfo=dt.UTC)
    odd = await database.fetch(b"select price, fee, source from legacy_trade where row_id = 3")
    assert odd == [{"price": D("0.30000000000000004"), "fee": None, "source": report.sha256}]
    assert await database.fetch(b"select 1 from fill union all select 1 from entry") == [], "never the live account's"
    (kept,) = await database.fetch(b"select file, sha256, mapping, counts, report from legacy_import")
    assert kept["file"] == "bot.db"
    assert kept["mapping"]["trades"]["table"] == "trades"
    assert kept["counts"]["loaded"] == 43
    (row,) = report.pnl
    assert (row.symbol, row.realized, row.fees, row.bot_pnl) == ("AAPL", D(11), D("0.2"), D("10.9"))
    assert row.bot_difference == D("-0.1")
    assert kept["report"]["pnl"][0]["realized"] == "11.000000"
    for table in TABLES[:4]:
        with pytest.raises(BooksDisagree, match=f"{table} is append-only"):
            await database.fetch(f"delete from {table} returning 1".encode())


async def test_a_dry_run_writes_nothing_and_a_second_import_adds_nothing(
    database: Database, bot: Path, tmp_path: Path
) -> None:
    empty = await counts(database)
    dry = await bring(database, bot, tmp_path, keep=False)
    assert (dry.dry_run, dry.count["loaded"]) == (True, 43)
    assert await counts(database) == empty
    await bring(database, bot, tmp_path)
    before = await counts(database)
    report = await bring(database, bot, tmp_path)
    assert (report.count["loaded"], report.count["already_there"], report.same) == (0, 43, True)
    assert await counts(database) == before | {"legacy_import": 2}


async def test_a_grown_and_renamed_file_adds_only_its_new_rows(database: Database, bot: Path, tmp_path: Path) -> None:
    first = await bring(database, bot, tmp_path)
    moved = bot.rename(tmp_path / "copy of bot.sqlite3")
    with closing(sqlite3.connect(moved)) as grown, grown:
        grown.execute("insert into quotes values ('AAPL', 1704294000.5, 105.5)")
        grown.execute(
            "insert into trades (symbol, side, qty, price, timestamp) values ('AAPL','SELL',6.3,200,'2024-01-08 10:00')"
        )
    report = await bring(database, moved, tmp_path)
    assert (report.count["loaded"], report.count["already_there"]) == (2, 43)
    assert report.source == first.source != report.sha256


async def test_a_row_that_changed_is_told_and_not_overwritten(database: Database, bot: Path, tmp_path: Path) -> None:
    await bring(database, bot, tmp_path)
    with closing(sqlite3.connect(bot)) as changed, changed:
        changed.execute("update trades set price = 99 where id = 2")
        changed.execute("update prices set close = 102.5 where id = 3")
    report = await bring(database, bot, tmp_path)
    assert report.differences == ["trades rowid 2", "prices rowid 3: AAPL 2024-01-04"]
    assert (report.count["different"], report.count["loaded"], report.same) == (2, 0, False)
    assert await database.fetch(b"select price from legacy_trade where row_id = 2") == [{"price": D("103.25")}]


async def test_another_map_of_the_same_rows_is_told_as_a_difference(
    database: Database, bot: Path, tmp_path: Path
) -> None:
    await bring(database, bot, tmp_path)
    with LegacyFile(bot, tmp_path) as file:
        mapping = guess.guess(file.tables()).mapping
        assert mapping is not None
        other = Terms(ZoneInfo("UTC"), NOW)
        report = await import_legacy(file, wiring.legacy_store(database), mapping, other)
    assert report.count["different"] == 4, "three trades and an order are at another time"


async def test_two_bots_of_one_make_are_kept_apart(database: Database, bot: Path, tmp_path: Path) -> None:
    await bring(database, bot, tmp_path)
    with closing(sqlite3.connect(bot)) as other, other:
        other.execute("update trades set symbol = 'IBM', qty = qty + 1")
    report = await bring(database, bot, tmp_path)
    assert report.source == report.sha256
    assert await database.fetch(b"select count(*) as n from legacy_trade") == [{"n": 6}]


async def test_bad_rows_are_rejected_with_their_reasons_and_the_others_are_loaded(
    database: Database, bot: Path, tmp_path: Path
) -> None:
    spoil(bot)
    report = await bring(database, bot, tmp_path)
    told = {(row.table, row.row_id, row.rule) for table in report.tables for row in table.examples}
    assert told == {("prices", 10, "no_session"), ("quotes", 31, "duplicate"), ("trades", 4, "unknown_side")}
    assert (report.count["loaded"], report.count["rejected"], report.same) == (43, 3, True)


async def test_legacy_never_overrides_better_bars(database: Database, bot: Path, tmp_path: Path) -> None:
    days = DAYS[:3]
    better = pl.DataFrame(
        {"symbol": "AAPL", "timeframe": "1d", "session": days, "ts": [calendar.session_close(day) for day in days],
         "open": 101.0, "high": 200.0, "low": 50.0, "close": [101.3, 102.5, 150.0], "volume": 5},
        schema=bars.schema(),
    )  # fmt: skip
    store = wiring.bar_store(database)
    await store.upsert(better, [], "vendor")
    report = await bring(database, bot, tmp_path)
    assert {name: report.bars[name] for name in ("loaded", "left_out", "agree", "disagree")} == {
        "loaded": 6, "left_out": 3, "agree": 2, "disagree": 1,
    }  # fmt: skip
    assert report.bars["examples"] == ["AAPL 2024-01-04: 103.3, stored 150.0 (vendor)"]
    assert (await wiring.bar_store(database).frame(["AAPL"], None, None))["close"][:3].to_list() == [
        101.3,
        102.5,
        150.0,
    ]


# ── whole or not at all ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_crash_at_any_step_leaves_nothing(database: Database, bot: Path, tmp_path: Path) -> None:
    before = await counts(database)
    for step, call in (
        ("stage", 3),
        ("merge", 2),
        ("stored_bars", 1),
        ("stored_bars", 2),
        ("totals", 1),
        ("record", 1),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LegacyBooks, step, crashing(getattr(LegacyBooks, step), call))
            with pytest.raises(RuntimeError, match="the power went"):
                await bring(database, bot, tmp_path)
        assert await counts(database) == before, step
        assert [each.name for each in tmp_path.iterdir()] == ["bot"], "the copy is gone"
    assert (await bring(database, bot, tmp_path)).count["loaded"] == 43


def crashing(real: Any, last: int) -> Any:
    """A step that is done, and then the power goes; at its n-th call."""
    calls: list[int] = []

    async def step(*given: Any) -> Any:
        found = await real(*given)
        calls.append(1)
        if len(calls) == last:
            raise RuntimeError("the power went")
        return found

    return step


async def test_sums_that_differ_undo_the_import(
    database: Database, bot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quaestor.doors.postgres import legacy

    real = legacy._staged

    def altered(row: Any, kind: str) -> tuple[Any, ...]:
        staged = real(row, kind)
        return (*staged[:7], D(1), *staged[8:]) if kind == "trades" else staged

    monkeypatch.setattr(legacy, "_staged", altered)
    before = await counts(database)
    with pytest.raises(BooksDisagree, match="Trades: the file has"):
        await bring(database, bot, tmp_path)
    assert await counts(database) == before


# ── the bot's file ────────────────────────────────────────────────────────────────────────────────────────────────────

IDLE = """
    import sqlite3, sys
    bot = sqlite3.connect(sys.argv[1], isolation_level=None)
    bot.execute("pragma journal_mode = wal")
    bot.execute("insert into quotes values ('AAPL', 1704294000.5, 105.5)")
    print("ready", flush=True)
    sys.stdin.read()
"""
BUSY = """
    import sqlite3, sys, threading
    bot = sqlite3.connect(sys.argv[1], isolation_level=None)
    bot.execute(f"pragma journal_mode = {sys.argv[2]}")
    bot.execute("pragma synchronous = off")
    bot.execute("pragma wal_autocheckpoint = 20")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    number = 0
    insert = "insert into trades (symbol, side, qty, price, timestamp) values ('F', ?, 1, ?, '2024-01-05 10:00')"
    while not ended.is_set():
        number += 1
        try:
            bot.execute("begin immediate")
            for side in ("BUY", "SELL"):
                bot.execute(insert, (side, number))
            bot.execute("update settings set value = ?", (number,))
            bot.execute("commit")
        except sqlite3.OperationalError:
            if bot.in_transaction:
                bot.execute("rollback")
        ended.wait(0.002)
"""


@contextmanager
def writer(script: str, *arguments: str) -> Iterator[None]:
    """The bot, in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        assert process.wait(timeout=20) == 0


async def test_a_database_in_use_is_read_with_its_log_and_its_folder_sees_no_write(
    database: Database, bot: Path, tmp_path: Path
) -> None:
    with writer(IDLE, str(bot)):
        before = seen(bot.parent)
        assert {"bot.db", "bot.db-wal", "bot.db-shm"} <= before.keys()
        report = await bring(database, bot, tmp_path)
        assert seen(bot.parent) == before
    assert next(table.read for table in report.tables if table.table == "quotes") == 31


async def test_a_database_at_rest_is_left_as_it_was(database: Database, bot: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(bot)) as wal:
        wal.execute("pragma journal_mode = wal")
    before = seen(bot.parent)
    assert before.keys() == {"bot.db", "."}
    await bring(database, bot, tmp_path)
    assert seen(bot.parent) == before


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_copy_holds_whole_transactions_while_the_bot_writes(bot: Path, tmp_path: Path, mode: str) -> None:
    with closing(sqlite3.connect(bot)) as settings, settings:
        settings.execute("insert into settings values ('count', '0')")
    last = 0
    with writer(BUSY, str(bot), mode):
        for _ in range(12):
            with LegacyFile(bot, tmp_path) as file:
                rows = [row for _, row in file.rows("trades") if row["symbol"] == "F"]
                (setting,) = [row["value"] for _, row in file.rows("settings")]
            assert len(rows) == 2 * int(setting)
            assert [row["side"] for row in rows] == ["BUY", "SELL"] * int(setting)
            assert int(setting) >= last
            last = int(setting)
    assert last > 0


def test_a_log_that_begins_anew_while_we_copy_is_copied_again(
    bot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(bot, isolation_level=None)) as live:
        live.execute("pragma journal_mode = wal")
        live.execute("insert into settings values ('first', 'in the log when the copy begins')")
        real, copies = shutil.copyfileobj, []

        def copied(*given: Any) -> None:
            real(*given)
            copies.append(1)
            if len(copies) == 1:
                live.execute("pragma wal_checkpoint(restart)")
                live.execute("insert into settings values ('second', 'in a new log, over the old one')")

        monkeypatch.setattr(shutil, "copyfileobj", copied)
        with LegacyFile(bot, tmp_path) as file:
            assert [row["name"] for _, row in file.rows("settings")] == ["first", "second"]
    assert len(copies) == 2


def test_a_crashed_bots_journal_is_rolled_back_in_the_copy_alone(bot: Path, tmp_path: Path) -> None:
    script = """
        import os, sqlite3, sys
        bot = sqlite3.connect(sys.argv[1], isolation_level=None)
        bot.execute("pragma cache_size = 1")
        bot.execute("begin")
        bot.execute("update quotes set last_price = -1")
        bot.execute("create table junk as with recursive n (i) as (select 1 union all select i + 1 from n limit 9000) select * from n")
        os._exit(9)
    """  # noqa: E501
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(bot)], check=False)
    before = seen(bot.parent)
    assert "bot.db-journal" in before
    with LegacyFile(bot, tmp_path) as file:
        assert all(row["last_price"] > 0 for _, row in file.rows("quotes"))
        assert "junk" not in [table.name for table in file.tables()]
    assert seen(bot.parent) == before


def test_a_bot_that_does_not_let_go_is_answered_with_try_again(
    bot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quaestor.doors.legacy_sqlite.PATIENCE", 0.2)
    hold = 'import sqlite3, sys\nb = sqlite3.connect(sys.argv[1])\nb.execute("begin exclusive")\nprint("ready", flush=True)\nsys.stdin.read()'  # noqa: E501
    with writer(hold, str(bot)), pytest.raises(Temporary, match="stop the bot for a moment"), LegacyFile(bot, tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("bat.db", None, "Did you mean", id="missing"),
        pytest.param("", None, "is no file", id="a folder"),
        pytest.param("empty.db", b"", "is empty", id="empty"),
        pytest.param("prices.csv", b"date,open\n2024-01-02,1\n", "looks like text", id="a CSV file"),
        pytest.param("locked.db", bytes(range(256)) * 16, "encrypted (SQLCipher)", id="encrypted"),
        pytest.param("odd.db", bytes(range(255)) * 3, "or it is damaged", id="other bytes"),
        pytest.param("torn.db", b"SQLite format 3\0" + bytes(range(256)) * 16, "is damaged", id="a head alone"),
    ],
)
def test_a_file_that_is_no_database_is_told_with_the_cure(
    bot: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = bot.parent / name if name else bot.parent
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((BadInput, NotFound)) as refusal, LegacyFile(path, tmp_path) as file:
        file.tables()
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["bot"]


def test_a_database_with_a_torn_page_is_refused(bot: Path, tmp_path: Path) -> None:
    raw = bytearray(bot.read_bytes())
    raw[4096 * 1 + 100 : 4096 * 6] = b"\xff" * (4096 * 5 - 100)
    bot.write_bytes(bytes(raw))
    with pytest.raises(QuaestorError, match=r"is damaged .*\.recover"), LegacyFile(bot, tmp_path):
        pass


def test_tables_without_rowids_and_views_are_told_apart(bot: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(bot)) as more, more:
        more.execute("create table keyed (k text primary key, v text) without rowid")
        more.execute("create view seen as select * from trades")
        more.execute("create table shadow (rowid text, v text)")
        more.execute("insert into shadow values ('x', 'y')")
    with LegacyFile(bot, tmp_path) as file:
        assert {table.name for table in file.tables() if not table.rowids} == {"keyed", "seen"}
        assert list(file.rows("shadow")) == [(1, {"rowid": "x", "v": "y"})]


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def console(database_uri: str, tmp_path: Path) -> Any:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        home = {"QUAESTOR_HOME": str(tmp_path / "home"), "QUAESTOR_DATABASE_URL": database_uri}
        return quaestor("import-legacy", *arguments, environment=home)

    return run


def test_the_command_shows_a_map_loads_by_it_and_proves_it(console: Any, bot: Path, tmp_path: Path) -> None:
    before = seen(bot.parent)
    shown = console(str(bot), "--show-map")
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "map.toml").write_text(shown.stdout, encoding="utf-8")
    done = console(str(bot), "--map", str(tmp_path / "map.toml"), "--json")
    told = json.loads(done.stdout)
    assert {row["table"]: row["loaded"] for row in told["tables"]} == {
        "prices": 9,
        "quotes": 30,
        "orders": 1,
        "trades": 3,
    }
    assert told["postgresql_holds_the_same"] is True
    assert told["pnl"]["rows"][0] == {
        "symbol": "AAPL", "trades": 3, "realized": "11.00", "fees": "0.20", "net": "10.80", "bot_pnl": "10.90",
        "bot_difference": "-0.10", "held": "6.3", "unmatched": "0",
    }  # fmt: skip
    again = console(str(bot), "--dry-run")
    assert "all of it was undone" in again.stdout
    assert "PostgreSQL holds the same  yes" in again.stdout
    assert "already there" in again.stdout
    assert seen(bot.parent) == before
    assert list((tmp_path / "home").iterdir()) == [], "the copies are gone"


def test_the_command_asks_for_a_yes_where_nobody_can_be_asked(console: Any, bot: Path, tmp_path: Path) -> None:
    done = console(str(bot))
    assert done.returncode == 1
    assert "add --yes to take it, or --map" in done.stderr
    assert "How the tables are read" in done.stdout
    spelled = tmp_path / "map.toml"
    spelled.write_text('[trades]\ntable = "trade"\n', encoding="utf-8")
    assert "map.toml:1: trades.time: Field required." in console(str(bot), "--map", str(spelled)).stderr
    assert "unknown time zone 'Mars'" in console(str(bot), "--yes", "--timezone", "Mars").stderr
    missing = console(str(bot.with_name("bto.db")), "--yes")
    assert "Did you mean" in missing.stderr
    assert len(missing.stderr.splitlines()) == 1


@pytest.mark.parametrize(("answer", "imports"), [("y", 1), ("", 0)])
def test_on_a_terminal_the_command_asks(
    database_uri: str, bot: Path, tmp_path: Path, answer: str, imports: int
) -> None:
    import pty

    import psycopg

    ours, theirs = pty.openpty()
    home = {"QUAESTOR_HOME": str(tmp_path / "home"), "QUAESTOR_DATABASE_URL": database_uri, "TERM": "dumb"}
    command = [QUAESTOR, "import-legacy", str(bot)]
    with subprocess.Popen(command, env=os.environ | home, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = b""
        with suppress(OSError):  # the terminal is gone with the process
            while block := os.read(ours, 65536):
                said += block
        assert process.wait(timeout=60) == (0 if imports else 1)
    os.close(ours)
    assert b"Load with this mapping? [y/N]" in said
    with psycopg.connect(database_uri) as connection:
        assert connection.execute("select count(*) from legacy_import").fetchone() == (imports,)
