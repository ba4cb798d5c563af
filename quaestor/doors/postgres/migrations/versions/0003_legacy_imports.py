"""An old bot's history: what was imported, its prices, orders and trades; append-only."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Four tables and the triggers that keep them as they are."""
    op.create_table(
        "legacy_import",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("source", "file", "sha256", "timezone")),
        *(sa.Column(name, _json(), nullable=False) for name in ("mapping", "counts", "report")),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legacy_import")),
        comment="One row per import. source: sha256 of the file when it was first imported; a grown file keeps it.",
    )
    _create(
        "legacy_price",
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        *(sa.Column(name, sa.Numeric(), nullable=True) for name in ("open", "high", "low", "volume")),
        comment="Prices that a bot polled, and its intraday bars (price: the close); daily bars are in the table bar.",
    )
    op.create_index("ix_legacy_price_symbol", "legacy_price", ["symbol", "at"], unique=False)
    _create("legacy_order", *_deal(), comment="Orders of a bot; raw: the row, account numbers masked.")
    _create(
        "legacy_trade",
        *_deal(),
        sa.Column("trade_id", sa.String(), nullable=True),
        sa.Column("pnl", sa.Numeric(), nullable=True),
        comment="Trades of a bot; they never enter the ledger. pnl: the bot's own figure.",
    )
    for table in ("legacy_import", "legacy_price", "legacy_order", "legacy_trade"):
        op.execute(
            f"create trigger append_only before update or delete on {table} "
            "for each row execute function refuse_change()"
        )


def _create(name: str, *columns: sa.Column[Any], comment: str) -> None:
    op.create_table(
        name,
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        *columns,
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["legacy_import.id"],
            name=op.f(f"fk_{name}_import_id_legacy_import"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("source", "table_name", "row_id", name=op.f(f"pk_{name}")),
        comment=comment,
    )


def _deal() -> list[sa.Column[Any]]:
    return [
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("fee", sa.Numeric(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("raw", _json(), nullable=False),
    ]


def _json() -> Any:
    return postgresql.JSONB(astext_type=sa.Text())
