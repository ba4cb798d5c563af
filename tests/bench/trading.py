"""One client of a database of trades: a writer that commits a row at a time, or a reader of recent trades.

It connects, says "ready", and begins when it is told to, as fast as it is answered. Both databases are used as their
best clients would: statements are prepared once, PostgreSQL's travel in binary, SQLite waits 5 s for a lock.

Usage: python trading.py postgres|sqlite writes|reads NUMBER ADDRESS SECONDS
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

SYMBOLS = 500
TABLE = """create table trade (
    id {identity} primary key, writer int not null, number int not null, symbol int not null,
    at {double} not null, price {double} not null, size int not null
)"""
INDEX = "create index trade_symbol on trade (symbol, id)"
WRITE = "insert into trade (writer, number, symbol, at, price, size) values (?, ?, ?, ?, ?, ?)"
READ = """select count(*), sum(size), sum(price * size), min(price), max(price)
from (select price, size from trade where symbol = ? order by id desc limit 100) recent"""


def tables(kind: str) -> tuple[str, str]:
    """The statements that make the table."""
    if kind == "sqlite":
        return TABLE.format(identity="integer", double="real"), INDEX
    return TABLE.format(identity="int8 generated always as identity", double="float8"), INDEX


def main(kind: str, role: str, number: str, address: str, seconds: str) -> None:
    cursor, refused = _cursor(kind, address)
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    work = _writing(cursor, kind, int(number)) if role == "writes" else _reading(cursor, kind, int(number))
    waits, errors = _driven(work, refused, float(seconds))
    print(json.dumps({"waits": waits, "errors": errors}))


def _cursor(kind: str, address: str) -> tuple[Any, type[Exception]]:
    """An open connection's cursor, and how the database refuses."""
    if kind == "sqlite":
        import sqlite3

        file = sqlite3.connect(address, isolation_level=None, timeout=5)
        file.execute("pragma synchronous = full")
        return file.cursor(), sqlite3.Error
    import psycopg

    connection = psycopg.connect(address, autocommit=True, prepare_threshold=0)
    return connection.cursor(binary=True), psycopg.Error


def _driven(work: Any, refused: type[Exception], seconds: float) -> tuple[list[float], list[str]]:
    """Do it again and again: how long each took that succeeded, what was said of each that did not."""
    waits, errors = [], []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        try:
            work()
            waits.append(time.perf_counter() - begun)
        except refused as error:
            errors.append(str(error))
    return waits, errors


def _writing(cursor: Any, kind: str, writer: int) -> Any:
    """A trade, numbered by how many this writer was told are kept: what is lost shows."""
    chance, kept = random.Random(writer), 0
    statement = _dialect(WRITE, kind)

    def write() -> None:
        nonlocal kept
        price, size = chance.randrange(1_000, 50_000) / 100, chance.randrange(1, 1_000)
        cursor.execute(statement, (writer, kept, chance.randrange(SYMBOLS), time.time(), price, size))
        kept += 1

    return write


def _reading(cursor: Any, kind: str, reader: int) -> Any:
    """Volume, average price and range of a symbol's recent trades."""
    chance = random.Random(reader)
    statement = _dialect(READ, kind)

    def read() -> None:
        cursor.execute(statement, (chance.randrange(SYMBOLS),))
        cursor.fetchone()

    return read


def _dialect(statement: str, kind: str) -> str:
    return statement if kind == "sqlite" else statement.replace("?", "%s")


if __name__ == "__main__":
    main(*sys.argv[1:])
