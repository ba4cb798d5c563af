"""The books: what is held, ordered, refused, earned, and why."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, Command, day, limit, option
from quaestor.orders import State

BOOKS = (
    Command("positions", "books:positions", "shares held, with their value", "quaestor positions", (JSON,)),
    Command(
        "orders",
        "books:orders",
        "orders, newest first",
        "quaestor orders --symbol AAPL --limit 10",
        (
            option("--symbol", type=str.upper, help="only this symbol"),
            option("--strategy", help="only this strategy"),
            option("--state", choices=[state.value for state in State], help="only this state"),
            option("--session", type=day, metavar="DATE", help="only this session"),
            limit(20),
            JSON,
        ),
    ),
    Command(
        "pnl",
        "books:pnl",
        "profit and loss",
        "quaestor pnl --by strategy",
        (
            option("--by", choices=("both", "strategy", "symbol", "session"), default="both", help="how to group it"),
            limit(20),
            JSON,
        ),
    ),
    Command(
        "refusals", "books:refusals", "decisions not to act, with their rule", "quaestor refusals", (limit(20), JSON)
    ),
    Command(
        "why",
        "books:why",
        "why an order was made",
        "quaestor why 3f2a91c0",
        (option("order", help="the order's id, or its first characters"), JSON),
    ),
)
