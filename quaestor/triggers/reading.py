"""Reading: stored triggers are plain dicts, read strictly: what is not understood is refused, with its place and cure.

A trigger trades at once and unseen: a key that is misspelt, a level that is NaN, zero or a text must never become one
that waits for ever, or fires on the first tick.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from quaestor.errors import BadInput

T = TypeVar("T")


def number(place: str, value: object) -> float:
    """A finite number, as float; raises BadInput for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise BadInput(f"{place}: {value!r} is no finite number; write one like 101.5, without quotes.")
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def positive(place: str, value: object) -> float:
    """A finite number above zero."""
    if (found := number(place, value)) <= 0:
        raise BadInput(f"{place}: {value!r} is not above zero; write a positive number.")
    return found


def not_negative(place: str, value: object) -> float:
    """A finite number, zero or more."""
    if (found := number(place, value)) < 0:
        raise BadInput(f"{place}: {value!r} is below zero; write zero or a positive number.")
    return found


def part(place: str, value: object) -> float:
    """Above zero, below 100: percent of a price that is left with something."""
    if (found := positive(place, value)) >= 100:
        raise BadInput(f"{place}: {value!r} percent leave no price; write a number between 0 and 100.")
    return found


def whole(place: str, value: object) -> int:
    """A whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise BadInput(f"{place}: {value!r} is no whole number above zero; write one like 60.")
    return value


def one_of(place: str, value: object, known: Iterable[str]) -> str:
    """One of the known words; answers "did you mean …?"."""
    names = sorted(known)
    if isinstance(value, str) and value in names:
        return value
    raise BadInput(f"{place}: unknown {value!r}.{_hint(str(value), names)}")


def keys(place: str, data: object, known: Iterable[str], required: Iterable[str] = ()) -> Mapping[str, Any]:
    """The dict itself, when it has no unknown key and every required one."""
    if not isinstance(data, Mapping):
        raise BadInput(f"{place}: {str(data)[:60]!r} is no table of keys and values; write one in braces.")
    names = sorted(known)
    for key in data:
        if key not in names:
            raise BadInput(f"{place}: unknown key {key!r}.{_hint(str(key), names)}")
    if missing := [name for name in required if name not in data]:
        raise BadInput(f"{place}: {missing[0]!r} is missing; add it.")
    return data


def build(cls: type[T], place: str, data: object) -> T:
    """A dataclass of plain fields from its dict; its own `__post_init__` judges the values."""
    fields = [field for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    nothing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is nothing and f.default_factory is nothing]
    return cls(**keys(place, data, [field.name for field in fields], required))


def plain(value: Any) -> dict[str, Any]:
    """The fields of a flat dataclass that differ from their defaults."""
    fields = dataclasses.fields(value)
    return {f.name: getattr(value, f.name) for f in fields if getattr(value, f.name) != f.default}


def _hint(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."
