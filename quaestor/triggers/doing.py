"""Doing: an action in words, read and written back (the grammar stands in `wording`)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from quaestor.triggers.figures import digits
from quaestor.triggers.tokens import Reader, plain_number
from quaestor.triggers.trigger import Action, Alert, Flatten, Halt, OrderTemplate, RunDeployment

ACTIONS = ("buy", "sell", "flatten", "alert", "run", "halt")
OFFSET = "dollars from the price that fires it, with their sign, like -0.10 or +0.10 (not a price)"


def read_do(text: str, place: str = "do") -> Action:
    """An action from its words; raises BadWording."""
    reader = Reader(place, text)
    found = read_action(reader)
    reader.end()
    return found


def read_action(reader: Reader) -> Action:
    """The action that comes next in a sentence."""
    begin = reader.next
    match reader.expect(*ACTIONS):
        case "flatten":
            return Flatten(bool(reader.took("everything")))
        case "alert":
            return Alert(reader.quoted())
        case "halt":
            return Halt(reader.quoted())
        case "run":
            if reader.next.kind not in {"word", "text"}:
                reader.fail("a deployment's name, like report/evening")
            name = reader.quoted() if reader.next.kind == "text" else reader.take().text
            return reader.built(begin, RunDeployment, name)
        case side:
            return _order(reader, side)


def _order(reader: Reader, side: str) -> OrderTemplate:
    begin, fields = reader.next, dict[str, Any]()
    if reader.took("all"):
        fields["fraction"] = 1
    else:
        of = "how many shares, or percent of the position: 100 shares, 50% or all"
        size = reader.number(of, units=("", "%"))
        fields["fraction" if size.unit else "quantity"] = plain_number(size.value / 100) if size.unit else size.number
        if not size.unit:
            reader.took("shares", "share")
    kinds = []
    for kind in ("stop", "limit"):
        if reader.took(kind):
            fields[f"{kind}_offset"] = _offset(reader)
            kinds.append(kind)
    if not kinds:
        reader.took("market")
    if reader.next.kind not in {"end", "mark"}:
        reader.fail("'stop', 'limit', or nothing more", ("stop", "limit", "market", "shares"))
    return reader.built(begin, OrderTemplate, side, order_type="_".join(kinds) or "market", **fields)


def _offset(reader: Reader) -> int | float:
    token = reader.next
    found = reader.number(OFFSET, signed=True, dollars=True)
    if not found.sign:
        reader.fail(OFFSET, token=token)
    return found.number


def write_do(action: Action) -> str:
    """An action in words, as `read_do` reads them."""
    match action:
        case Flatten(everything):
            return "flatten everything" if everything else "flatten"
        case Alert(text) | Halt(text):
            word = "alert" if isinstance(action, Alert) else "halt"
            return f"{word} {json.dumps(text, ensure_ascii=False)}" if text else word
        case RunDeployment(name):
            plain = re.fullmatch(r"[A-Za-z][\w./-]*", name, re.ASCII)
            return f"run {name if plain else json.dumps(name, ensure_ascii=False)}"
        case OrderTemplate():
            return f"{action.side} {_size(action)}{_offsets(action)}"


def _size(order: OrderTemplate) -> str:
    if order.quantity is not None:
        return f"{digits(order.quantity)} share{'' if order.quantity == 1 else 's'}"
    if order.fraction == 1:
        return "all"
    percent = (Decimal(repr(order.fraction)) * 100).normalize()
    return f"{format(percent, 'f') if percent.adjusted() > -12 else percent}%"


def _offsets(order: OrderTemplate) -> str:
    told = (("stop", order.stop_offset), ("limit", order.limit_offset))
    return "".join(
        f" {kind} {'-' if value < 0 else '+'}{digits(abs(value))}" for kind, value in told if value is not None
    )
