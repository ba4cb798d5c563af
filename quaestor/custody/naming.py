"""What every vault takes: a secret's name, its value, its end. The narrowest of them, Azure Key Vault, sets the bounds.

A secret that is stored here can be moved there, and back.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re

from quaestor.errors import BadInput

NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
MOST = 25_600  # bytes of a value


def check_name(name: str) -> None:
    """Raises BadInput where no vault takes the name."""
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of a secret; write letters, digits and hyphens, at most 127 of them.")


def check_value(name: str, value: str) -> None:
    """Raises BadInput, which shows nothing of the value, where no vault takes it."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadInput(f"The value of {name} is no text: part of it is no character. It was not stored.") from None
    if size == 0:
        raise BadInput(f"The value of {name} is empty; it was not stored.")
    if size > MOST:
        raise BadInput(f"The value of {name} has {size:,} bytes; a vault takes {MOST:,} at most. It was not stored.")


def check_end(name: str, expires_at: dt.datetime | None) -> None:
    """Raises BadInput for a time without a zone."""
    if expires_at is not None and expires_at.tzinfo is None:
        raise BadInput(f"The end of {name} has no time zone; it was not stored.")


def usable_key(text: str) -> bool:
    """Whether it is a key that seals: 32 bytes in URL-safe base64, as Fernet wants them."""
    try:
        return len(base64.urlsafe_b64decode(text)) == 32 and text == text.strip()
    except (binascii.Error, ValueError):
        return False
