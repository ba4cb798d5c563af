"""PostgreSQL's binary COPY for rows of fixed width: a NumPy record array is the stream itself.

Each row is a count of fields, then each field's length and its bytes, all big-endian. Rows whose fields are all of
fixed width and never null have one length, so the stream is an array of records between a header and a trailer:
nothing is looped over in Python. What is read back beside a load comes packed, the fields alone. (Format: PostgreSQL's
manual, COPY, "Binary Format".)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Records = np.ndarray[Any, np.dtype[np.void]]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
BLOCK = 1 << 20  # bytes handed over at a time
EPOCH = 946_684_800_000_000  # microseconds from 1970 to PostgreSQL's 2000-01-01
EPOCH_DAYS = 10_957

# PostgreSQL's types as big-endian NumPy types
TYPES = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float8": ">f8", "date": ">i4", "timestamptz": ">i8"}


def layout(columns: Mapping[str, str]) -> np.dtype[np.void]:
    """The record of one row: `columns` are PostgreSQL types by name."""
    import numpy as np

    fields = [("fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"{name} length", ">i4"), (name, TYPES[kind])]
    return np.dtype(fields)


def blank(columns: Mapping[str, str], count: int) -> Records:
    """So many records with everything but the values."""
    import numpy as np

    records = np.empty(count, layout(columns))
    records["fields"] = len(columns)
    for name, kind in columns.items():
        records[f"{name} length"] = np.dtype(TYPES[kind]).itemsize
    return records


def stream(records: Records) -> Iterator[bytes | memoryview]:
    """The COPY stream of some records, in blocks."""
    yield HEADER
    raw = memoryview(records.tobytes())
    for start in range(0, len(raw), BLOCK):
        yield raw[start : start + BLOCK]
    yield TRAILER


def unpacked(values: Iterable[bytes], columns: Mapping[str, str]) -> Records:
    """The records of rows whose fields the server sent one after the other, without counts and lengths."""
    import numpy as np

    return np.frombuffer(b"".join(values), np.dtype([(name, TYPES[kind]) for name, kind in columns.items()]))
