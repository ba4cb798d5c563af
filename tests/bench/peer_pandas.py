"""pandas.to_sql(method="multi"): a part of the same bars into the same kind of table.

Usage: python peer_pandas.py URI FILE ROWS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import minutes
import sqlalchemy
from peer_copy import FIELDS, TABLE

CHUNK = 5_000  # rows a statement: 50,000 of PostgreSQL's 65,535 parameters


def main(uri: str, file: str, count: str) -> None:
    engine = sqlalchemy.create_engine(uri.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
    frame = next(minutes.read(Path(file)))[: int(count)].to_pandas()
    frame = frame.assign(instrument=frame["symbol"].factorize()[0], version=1, load=1)[list(FIELDS)]
    begun = time.perf_counter()
    with engine.begin() as connection:
        frame.to_sql("plain", connection, if_exists="append", index=False, method="multi", chunksize=CHUNK)
    print(json.dumps({"seconds": time.perf_counter() - begun, "rows": len(frame)}))
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
