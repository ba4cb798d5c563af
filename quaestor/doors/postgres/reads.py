"""What the console reads: one connection, read-only, one consistent picture; the writer is never blocked."""

from __future__ import annotations

import datetime as dt
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from quaestor.audit import Anchor, Audit
from quaestor.doors.postgres.books import intent_of
from quaestor.doors.postgres.database import OPTIONS, connecting, shown
from quaestor.doors.postgres.sql import queries
from quaestor.doors.postgres.translated import translated
from quaestor.errors import DatabaseDown, NotFound

if TYPE_CHECKING:
    import psycopg

Row = dict[str, Any]
SQL = queries("reads")
SHORTEST = 4  # characters of an order's id
PAGE = 5_000  # events read at a time


class Reads:
    """Rows about one account; a context manager over one synchronous connection."""

    def __init__(self, uri: str, account: str) -> None:
        self._uri = uri
        self._account = account
        self._connection: psycopg.Connection[Row] | None = None

    def __enter__(self) -> Self:
        import psycopg
        from psycopg.rows import dict_row

        with connecting(self._uri):
            self._connection = psycopg.connect(self._uri, options=OPTIONS, connect_timeout=5, row_factory=dict_row)
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def rows(self, name: str, **parameters: Any) -> list[Row]:
        """All rows of a named query (see sql/reads.sql)."""
        if self._connection is None:
            raise DatabaseDown("The console's connection is closed; open it with `with`.")
        with translated(shown(self._uri)):
            return self._connection.execute(SQL[name], {"account": self._account, **parameters}).fetchall()

    def row(self, name: str, **parameters: Any) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(name, **parameters)), None)

    def orders(
        self,
        *,
        symbol: str | None = None,
        strategy: str | None = None,
        state: str | None = None,
        session: dt.date | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Our orders, newest first."""
        return self.rows("orders", symbol=symbol, strategy=strategy, state=state, session=session, limit=limit)

    def why(self, order: str) -> Row:
        """All evidence of one order, found by the beginning of its id. Raises NotFound."""
        prefix = order.lower().strip()
        found = self.rows("order", prefix=prefix.replace("%", "").replace("_", "")) if len(prefix) >= SHORTEST else []
        if len(found) != 1:
            raise NotFound(self._not_one(order, [str(row["ref_id"]) for row in found]))
        row = found[0]
        events, fills = (self.rows(name, ref_id=row["ref_id"]) for name in ("order_events", "order_fills"))
        return row | {"events": events, "fills": fills}

    def audit(self, anchor: Anchor | None = None) -> Audit:
        """Read the whole log of orders and compare it with the books, at one moment."""
        audit = Audit(self._account, anchor)
        while events := self.rows("events", after=audit.seq, limit=PAGE):
            audit.read(events)
        head = self.row("chain_head")
        audit.end(Anchor(head["seq"], head["hash"].hex()) if head else None)
        orders = self.rows("all_orders")
        audit.compare_orders((row["ref_id"], row["state"], intent_of(row), row["evidence"]) for row in orders)
        audit.compare_fills(tuple(row.values()) for row in self.rows("all_fills"))
        return audit

    def _not_one(self, order: str, found: list[str]) -> str:
        if found:
            return f"{order!r} begins several orders: {', '.join(found)}. Give more characters."
        some = ", ".join(row["ref_id"] for row in self.rows("order_ids")) or "none yet"
        return f"No order begins with {order!r} ({SHORTEST} characters or more). Newest: {some}. See `quaestor orders`."
