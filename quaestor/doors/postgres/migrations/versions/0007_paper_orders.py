"""The paper broker's stops, pairs and partial fills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ACCOUNT = "reserved: dollars that working purchases may cost, a pair counted once."
ORDER = "triggered: the stop price was touched; reserved: dollars that the rest of a purchase may cost."


def upgrade() -> None:
    """Add them."""
    op.add_column("order", sa.Column("stop_price", sa.Numeric(20, 6), nullable=True), schema="paper")
    op.add_column("order", sa.Column("oco", sa.String(), server_default="", nullable=False), schema="paper")
    op.add_column("order", sa.Column("triggered", sa.Boolean(), server_default="false", nullable=False), schema="paper")
    op.add_column("order", sa.Column("reserved", sa.Numeric(20, 6), server_default="0", nullable=False), schema="paper")
    op.add_column(
        "account", sa.Column("reserved", sa.Numeric(20, 6), server_default="0", nullable=False), schema="paper"
    )
    op.create_table_comment("order", ORDER, schema="paper")
    op.create_table_comment("account", ACCOUNT, schema="paper")
    op.create_index(
        "ix_order_working",
        "order",
        ["alias", "symbol"],
        schema="paper",
        postgresql_where=sa.text("state in ('acked','partially_filled')"),
    )
    op.create_index("ix_order_oco", "order", ["alias", "oco"], schema="paper", postgresql_where=sa.text("oco <> ''"))
    op.create_index("ix_order_session", "order", ["alias", "session"], schema="paper")
    op.create_index("ix_execution_session", "execution", ["alias", "session"], schema="paper")
    # What a purchase that works already may cost: its limit, or the collar over its reference; a cent for rounding up.
    op.execute(
        """
        update paper."order"
        set reserved = (quantity - filled) * coalesce(limit_price, reference_price * 1.05) + 0.01
        where side = 'buy' and state in ('acked', 'partially_filled')
        """
    )
    op.execute(
        """
        update paper.account a set reserved = (
            select coalesce(sum(o.reserved), 0) from paper."order" o
            where o.alias = a.alias and o.state in ('acked', 'partially_filled')
        )
        """
    )
