"""What PostgreSQL can do at best: a file of bars by COPY BINARY over one connection, in one transaction, unchecked.

The binary rows are built by NumPy, a row group at a time; the table has the columns and the primary key of ours and
nothing else: no partitions, no checks, no versions, no coverage.

Usage: python peer_copy.py URI FILE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import minutes
import numpy as np
import polars as pl
import psycopg
import pyarrow.parquet  # noqa: F401  # not in the time

TABLE = """create table plain (
    instrument int4, ts timestamptz, version int2 not null, session date not null, open float8 not null,
    high float8 not null, low float8 not null, close float8 not null, volume int8 not null, load int4 not null,
    primary key (instrument, ts)
)"""
FIELDS = {
    "instrument": ">i4", "ts": ">i8", "version": ">i2", "session": ">i4",
    "open": ">f8", "high": ">f8", "low": ">f8", "close": ">f8", "volume": ">i8", "load": ">i4",
}  # fmt: skip
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
SINCE_2000 = 946_684_800_000_000  # microseconds from 1970 to PostgreSQL's zero
BLOCK = 1 << 20


def main(uri: str, file: str) -> None:
    with psycopg.connect(uri) as connection:
        connection.execute(TABLE)
        connection.commit()
        begun = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy("copy plain from stdin (format binary)") as copy:
            copy.write(HEADER)
            for first, frame in enumerate(minutes.read(Path(file))):
                raw = memoryview(rows(frame, first * minutes.GROUP).view("u1"))
                for start in range(0, len(raw), BLOCK):
                    copy.write(raw[start : start + BLOCK])
            copy.write(TRAILER)
        connection.commit()
        seconds = time.perf_counter() - begun
        (count,) = connection.execute("select count(*) from plain").fetchone() or (0,)
    print(json.dumps({"seconds": seconds, "rows": count}))


def rows(frame: pl.DataFrame, first: int) -> np.ndarray:
    """The rows of a frame as PostgreSQL's binary COPY wants them: a count, then length and value of each field."""
    fields = [("fields", ">i2")]
    for name, kind in FIELDS.items():
        fields += [(f"{name} length", ">i4"), (name, kind)]
    made = np.empty(frame.height, np.dtype(fields))
    made["fields"] = len(FIELDS)
    for name, kind in FIELDS.items():
        made[f"{name} length"] = np.dtype(kind).itemsize
    made["instrument"] = frame["symbol"].rle_id().to_numpy() + first
    made["ts"] = frame["ts"].to_physical().to_numpy() - SINCE_2000
    made["session"] = frame["session"].to_physical().to_numpy() - 10_957
    made["version"], made["load"] = 1, 1
    for name in ("open", "high", "low", "close", "volume"):
        made[name] = frame[name].to_numpy()
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
