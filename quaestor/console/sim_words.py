"""What brokers' protocol servers share at the console: dollars and quotes as they are typed, and serving by hand."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from quaestor import wiring
from quaestor.errors import BadInput


def dollars(name: str, text: str) -> Decimal:
    """An amount above 0; raises BadInput naming the option."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise BadInput(f"{name}: {text!r} are no dollars; write them like 25000 or 64000.50.")
    return amount


def quotes(text: str, example: str, ending: str = "") -> dict[str, tuple[Decimal, Decimal]]:
    """Bid and ask by symbol, out of `A=BID/ASK,…`; `ending`: of every symbol. Raises BadInput with the example."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        symbol, _, prices = each.partition("=")
        bid, _, ask = prices.partition("/")
        if not symbol.upper().endswith(ending):
            raise BadInput(f"--quotes {each!r} names no pair; write {example}.")
        found[symbol.upper()] = (dollars("--quotes", bid), dollars("--quotes", ask))
    if not found:
        raise BadInput(f"--quotes names none; write {example}.")
    return found


def serve(app: Any, port: int, said: Callable[[str], Mapping[str, object]]) -> int:
    """Serve until told to end; the first line is what `said` makes of the address."""
    try:
        with wiring.serving(app, port) as url:
            sys.stdout.write(json.dumps(said(url)) + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        raise BadInput(f"--port {port}: nobody can listen there ({error}).") from error
    return 0
