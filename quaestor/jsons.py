"""Values as JSON text: what books and brokers keep of them.

Amounts are text, so that none is rounded; a number that is none (NaN) is null, for JSON has no word for it.
"""

from __future__ import annotations

from typing import Any

import orjson


def as_json(value: Any) -> str:
    """The value as JSON; what JSON has no type for is told as its text."""
    return orjson.dumps(value, default=_plain).decode()


def read_json(text: bytes | str) -> Any:
    """What a JSON text says; None where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else str(value)
