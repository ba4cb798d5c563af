"""ConnectorX, told to read: every line of the input runs the query once more; the answer is its seconds and rows.

Usage: python peer_connectorx.py URI QUERY
"""

from __future__ import annotations

import json
import sys
import time

import connectorx as cx
import polars as pl  # noqa: F401  # not in the time


def main(uri: str, query: str) -> None:
    for _ in sys.stdin:
        begun = time.perf_counter()
        frame = cx.read_sql(uri, query, return_type="polars")
        print(json.dumps({"seconds": time.perf_counter() - begun, "rows": frame.height}), flush=True)
        del frame


if __name__ == "__main__":
    main(*sys.argv[1:])
