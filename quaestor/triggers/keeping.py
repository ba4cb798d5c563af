"""Keeping: what of a trigger is known by name, and what becomes of its latch when it is replaced or shares split."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import replace

from quaestor.errors import BadInput
from quaestor.splits import Split
from quaestor.triggers.conditions import Trailing
from quaestor.triggers.trigger import Latch, Trigger

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
NOTE = 500  # characters at most
SHORTEST = 4  # characters of an id that may stand for it


def checked_name(name: str) -> str:
    """A name that a person may give a trigger ("" for none); raises BadInput."""
    if name and not NAME.fullmatch(name):
        raise BadInput(f"name: {name[:80]!r} is none; write letters, digits, '-', '_' or '.', at most 60, like dip-2.")
    if is_id(name):
        raise BadInput(f"name: {name!r} would be taken for an id; choose a word.")
    return name


def checked_note(note: str) -> str:
    """A person's note; raises BadInput for one that is too long or cannot be stored."""
    if len(note) > NOTE or "\0" in note:
        raise BadInput(f"note: write at most {NOTE} characters of text; this one has {len(note)}.")
    return note


def is_id(text: str) -> bool:
    """Whether it is a whole id."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def replaced(latch: Latch) -> Latch:
    """Of a rule in the place of another: it waits anew, its firings are counted on."""
    return Latch(fired=latch.fired, last_fired=latch.last_fired)


def rescaled(trigger: Trigger, latch: Latch, splits: Sequence[Split]) -> tuple[Trigger, Latch]:
    """Both after these splits; raises BadInput where the rule lost its meaning."""
    for split in splits:
        if trigger.symbol == split.symbol and latch.memory:
            leaves, ratio = trigger.condition.leaves(), float(split.ratio)
            memory = [
                mark / ratio if isinstance(leaf, Trailing) and mark is not None else mark
                for leaf, mark in zip(leaves, latch.memory, strict=False)
            ]
            latch = replace(latch, memory=memory)
        trigger = trigger.rescaled(split)
    return trigger, latch
