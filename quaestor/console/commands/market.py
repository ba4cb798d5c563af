"""Prices: fetched, stored, looked at, doubted."""

from __future__ import annotations

from quaestor.console.commands.words import END, JSON, START, SYMBOLS, TIMEFRAME, Command, day, limit, moment, option

MARKET = (
    Command(
        "ingest",
        "loop:ingest",
        "fetch new bars and splits, here and now",
        "quaestor ingest AAPL MSFT --end 2013-03-01",
        (
            SYMBOLS,
            START,
            END,
            option("--again", action="store_true", help="read the whole window again, not only what is new"),
            JSON,
        ),
    ),
    Command(
        "coverage",
        "market:coverage",
        "what of the history is there, as a map",
        "quaestor coverage AAPL --start 2012-01-03 --end 2013-03-01",
        (
            SYMBOLS,
            START,
            END,
            TIMEFRAME,
            option("--width", type=int, default=60, metavar="COLUMNS", help="at most so many columns (default 60)"),
            JSON,
        ),
    ),
    Command(
        "bars",
        "bars:bars",
        "stored bars of a symbol, on the screen or in a file",
        "quaestor bars MSFT --start 2003-02-12 --adjust split --to msft.parquet",
        (
            option("symbol", type=str.upper, help="the symbol"),
            START,
            END,
            TIMEFRAME,
            option(
                "--adjust",
                choices=("none", "split", "total", "back"),
                default="none",
                help="none: as traded; split: as strategies see them; total: dividends reinvested too; back: as charts",
            ),
            option("--known-at", type=moment, metavar="TIME", help="as the bars were known then (ISO 8601 with zone)"),
            option("--to", metavar="FILE", help="write all of them to a .csv or .parquet file"),
            limit(20),
            JSON,
        ),
    ),
    Command(
        "backfill",
        "market:backfill",
        "fetch what is missing of the history, here and now",
        "quaestor backfill AAPL IBM --start 2005-01-03 --end 2005-12-30 --dry-run",
        (
            SYMBOLS,
            START,
            END,
            TIMEFRAME,
            option("--source", choices=("recorded", "files", "alpaca", "robinhood"), help="default: as configured"),
            option("--redo", choices=("missing", "failed", "all"), default="missing", help="what (default: missing)"),
            option("--oldest-first", action="store_true", help="begin at the oldest session"),
            option("--dry-run", action="store_true", help="only say what would be fetched, and what it costs"),
            JSON,
        ),
    ),
    Command(
        "quarantine",
        "market:quarantine",
        "bars that the quality gate refused",
        "quaestor quarantine AAPL",
        (SYMBOLS, limit(50), JSON),
    ),
    Command(
        "vouch",
        "market:vouch",
        "say that a session's steps are real, so that its bars come in",
        "quaestor vouch AAPL 2000-09-29 profit-warning",
        (
            option("symbol", type=str.upper, help="the symbol"),
            option("session", type=day, help="the session"),
            option("reason", help="why, for the books"),
        ),
    ),
    Command(
        "unblock",
        "market:unblock",
        "let a symbol take entries again",
        "quaestor unblock AAPL",
        (option("symbol", type=str.upper, help="the symbol"),),
    ),
)
