"""Parameters as the texts that PostgreSQL reads: nothing is looked up or converted for them, and one plan fits all.

For the few statements in which that counts, those of an order on its way out: a list or a date as a parameter costs
the client more than the server takes to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def text_array(words: Iterable[str]) -> str:
    """An array of words without quotation marks and backslashes, as symbols and UUIDs are."""
    return "{" + ",".join(f'"{word}"' for word in words) + "}"


def texts(row: Mapping[str, Any]) -> dict[str, str | None]:
    """A row's values, each as its text; None stays a null."""
    return {name: None if value is None else str(value) for name, value in row.items()}
