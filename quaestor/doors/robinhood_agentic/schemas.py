"""What we need of the channel's tools; whatever differs from it stops all calls before the first one.

Names changed while the channel was in beta, and nobody promises that they will not again. So the tools are read at each
new connection (`tools/list`) and held against this table: every tool that we call is there; it takes every parameter
that we send, of the type that we send; it demands none that we do not always send; and where it says which words a
parameter takes, ours are among them, be it as `enum` or, as Robinhood does, in the words of its description. What it
has beyond that (new tools, new optional parameters, other words) is no concern of ours.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quaestor.errors import BrokerRejected

CURE = "Nothing was sent. Look for a newer Quaestor; until then set [broker] kind to another one."


class SchemaDrift(BrokerRejected):
    """Robinhood's tools are no longer as we know them. Nothing was sent."""


@dataclass(frozen=True)
class Sent:
    """A parameter as we send it: its JSON type, the words that we may say, whether every call has it."""

    kind: str = "string"
    words: tuple[str, ...] = ()
    always: bool = False


ALWAYS = Sent(always=True)
ORDER: Mapping[str, Sent] = {
    "account_number": ALWAYS,
    "symbol": ALWAYS,
    "side": Sent(words=("buy", "sell"), always=True),
    "type": Sent(words=("market", "limit", "stop_market", "stop_limit"), always=True),
    "quantity": ALWAYS,
    "limit_price": Sent(),
    "stop_price": Sent(),
    "time_in_force": Sent(words=("gfd", "gtc"), always=True),
    "market_hours": Sent(words=("regular_hours",), always=True),
}
TOOLS: Mapping[str, Mapping[str, Sent]] = {
    "get_accounts": {},
    "get_portfolio": {"account_number": ALWAYS},
    "get_equity_positions": {"account_number": ALWAYS, "cursor": Sent()},
    "get_equity_orders": {
        "account_number": ALWAYS,
        "order_id": Sent(),
        "created_at_gte": Sent(),
        "cursor": Sent(),
    },
    "get_equity_quotes": {"symbols": Sent("array", always=True)},
    "get_equity_tradability": {"account_number": ALWAYS, "symbols": Sent("array", always=True)},
    "review_equity_order": ORDER,
    "place_equity_order": {**ORDER, "ref_id": ALWAYS},
    "cancel_equity_order": {"account_number": ALWAYS, "order_id": ALWAYS},
}


@dataclass(frozen=True)
class Tool:
    """A tool as the server tells of it: its name, and the JSON Schema of what it takes."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


def require(tools: Iterable[Tool]) -> None:
    """Raise SchemaDrift, naming every difference that matters; nothing where there is none."""
    told = {tool.name: tool.schema for tool in tools}
    found = [each for name in TOOLS for each in _differences(name, told)]
    if found:
        raise SchemaDrift(f"Robinhood's tools are no longer as we know them: {'; '.join(found)}. {CURE}")


def _differences(name: str, told: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if name not in told:
        yield f"there is no tool {name}{_near(name, set(told) - set(TOOLS))}"
        return
    properties, sent = told[name].get("properties") or {}, TOOLS[name]
    for parameter, ours in sent.items():
        if parameter not in properties:
            yield f"{name} takes no {parameter}{_near(parameter, set(properties) - set(sent))}"
        else:
            yield from _changes(f"{name}.{parameter}", properties[parameter], ours)
    for parameter in told[name].get("required") or ():
        if parameter not in sent:
            yield f"{name} demands {parameter}, which we do not know"
        elif not sent[parameter].always:
            yield f"{name} demands {parameter} in every call"


def _changes(where: str, schema: Mapping[str, Any], ours: Sent) -> Iterator[str]:
    kinds = _kinds(schema)
    if kinds and ours.kind not in kinds:
        yield f"{where} is {' or '.join(sorted(kinds))}, no {ours.kind}"
    lacking = [word for word in ours.words if not _takes(schema, word)]
    if lacking:
        yield f"{where} does not take {', '.join(lacking)}"


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Its JSON types; none where it says none."""
    said = schema.get("type")
    own = {said} if isinstance(said, str) else set(said or ())
    return own.union(*(_kinds(each) for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))))


def _takes(schema: Mapping[str, Any], word: str) -> bool:
    if "enum" in schema:
        return word in schema["enum"]
    said = schema.get("description") or ""
    return not re.search(r"'\w+'", said) or f"'{word}'" in said  # where words are quoted, ours are


def _near(name: str, others: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(others), n=1, cutoff=0.6)
    return f" (but {near[0]})" if near else ""
