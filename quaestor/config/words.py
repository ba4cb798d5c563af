"""What sections are made of: tables closed to unknown keys, exact amounts, addresses that are safe to show a secret."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _exact(value: object) -> object:
    """TOML floats pass as the decimal a person typed."""
    return str(value) if isinstance(value, float) else value


Amount = Annotated[Decimal, BeforeValidator(_exact)]


class Section(BaseModel):
    """A table of the file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def safe(url: str) -> str:
    """Secrets are shown there: encrypted, or not off this machine; empty is the vendor's own address."""
    here = r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
    if url and not re.fullmatch(rf"(https://[^/@\s]+|{here})(/[^@\s]*)?", url):
        raise ValueError("write https://…, or http:// with an address of this machine")
    return url.rstrip("/")


def streams(url: str) -> str:
    """A key is shown there: encrypted, or not off this machine; empty is the vendor's own address."""
    here = r"ws://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
    if url and not re.fullmatch(rf"(wss://[^/@\s]+|{here})(/[^@\s]*)?", url):
        raise ValueError("write wss://…, or ws:// with an address of this machine")
    return url
