"""Leaks: known secrets where they should not be, in whatever form they are written there.

A value is looked for as it is, as JSON and addresses write it, and inside of base64, at each of its three alignments. A
leak names the place and what kind of secret it is, never the secret.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

SHORTEST = 5  # characters of a value that is looked for
KEPT = b"-._~"  # of an address, besides letters and digits
TEXT = re.compile(rb"[\x20-\x7e\x80-\xff]{5,}")


@dataclass(frozen=True)
class Leak:
    """A secret of that kind stands at that place, written in that form."""

    place: str
    kind: str
    form: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind} ({self.form})"


def forms(value: str) -> dict[str, bytes]:
    """How a value may be written, by the name of the form; those that are like the plain one are left out."""
    raw = value.encode()
    found = {"plain": raw, "JSON": json.dumps(value)[1:-1].encode(), "address": _address(raw)}
    found["form"] = found["address"].replace(b"%20", b"+")
    for shift in range(3):
        found[f"base64 at {shift}"] = inner = _inside(raw, shift)
        found[f"base64 of addresses at {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    plain, seen = found.pop("plain"), {raw}
    kept = {"plain": plain}
    for name, form in found.items():
        if form not in seen and len(form) >= SHORTEST:
            kept[name] = form
            seen.add(form)
    return kept


class Search:
    """Looks for known values, by what kind each is."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._wanted = [
            (kind, name, form)
            for value, kind in known.items()
            if len(value) >= SHORTEST
            for name, form in forms(value).items()
        ]

    def look(self, places: Iterable[tuple[str, bytes]]) -> list[Leak]:
        """Leaks at these places, each once."""
        return list(dict.fromkeys(leak for place, content in places for leak in self._at(place, content)))

    def _at(self, place: str, content: bytes) -> Iterator[Leak]:
        if len(content) > 1 << 16:  # a file of the database is zeros for the most part
            content = b"\n".join(TEXT.findall(content))
        for kind, name, form in self._wanted:
            if form in content:
                yield Leak(place, kind, name)


def _address(raw: bytes) -> bytes:
    return b"".join(
        bytes([each]) if (chr(each).isalnum() and each < 128) or each in KEPT else b"%%%02X" % each for each in raw
    )


def _inside(raw: bytes, shift: int) -> bytes:
    """What of it stands in the base64 of anything that holds it, so many bytes after a multiple of three."""
    whole = base64.b64encode(bytes(shift) + raw)
    first, last = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
    return whole[first:last]
