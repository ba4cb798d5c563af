"""The paper broker's market halts a symbol: it takes no orders for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Where halts are kept."""
    op.create_table(
        "halt",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("alias", "symbol", name=op.f("pk_halt")),
        schema="paper",
    )
