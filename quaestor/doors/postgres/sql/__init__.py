"""Named SQL: each file holds queries headed `-- name: …` and a sentence that says what the query is for."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

HEAD = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@lru_cache
def queries(subject: str) -> dict[str, bytes]:
    """The queries of `subject`.sql by name, as psycopg takes them."""
    text = files(__package__).joinpath(f"{subject}.sql").read_text(encoding="utf-8")
    parts = HEAD.split(text)[1:]
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
