"""Since when the paper broker's account has traded a symbol: it need not look through all fills to know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("position", sa.Column("since", sa.Date(), nullable=True), schema="paper")
    op.execute(
        """
        update paper.position p set since = (
            select min(e.session) from paper.execution e join paper."order" o on o.id = e.order_id
            where e.alias = p.alias and o.symbol = p.symbol
        )
        """
    )
    op.alter_column("position", "since", nullable=False, schema="paper")
