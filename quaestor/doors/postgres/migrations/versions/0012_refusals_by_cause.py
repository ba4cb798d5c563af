"""Refusals by their cause: within a session the same order may be wanted, and refused, for more than one reason."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the key."""
    op.add_column("refusal", sa.Column("cause_key", sa.String(), nullable=False, server_default=""))
    op.drop_constraint("pk_refusal", "refusal", type_="primary")
    op.create_primary_key("pk_refusal", "refusal", ["account", "session", "strategy", "symbol", "side", "cause_key"])
