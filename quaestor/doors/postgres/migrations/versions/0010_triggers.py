"""Stored triggers with their latches and firings, numbered changes, and the splits that they know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TRIGGER = (
    "Rules on prices, letter by letter as they were written; a row never goes, for its id serves once. "
    "change: the number of its newest change, in the order of commits."
)
FIRING = "Each firing of a trigger, once; outcome: what came of it."
CHANGES = "How many changes an account's triggers have seen; whoever changes one holds the row until he commits."
SPLIT = "Splits after which an account's triggers were rescaled."


def upgrade() -> None:
    """Add them."""
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "trigger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("name", sa.String(), server_default="", nullable=False),
        sa.Column("rule", postgresql.JSON(), nullable=False),
        sa.Column("latch", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.String(), server_default="", nullable=False),
        sa.Column("by", sa.String(), server_default="", nullable=False),
        sa.Column("written_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("removed_at", moment, nullable=True),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trigger")),
        comment=TRIGGER,
    )
    present = sa.text("removed_at is null and name <> ''")
    op.create_index("uq_trigger_name", "trigger", ["account", "name"], unique=True, postgresql_where=present)
    op.create_index("ix_trigger_change", "trigger", ["account", "change"])
    op.create_table(
        "trigger_firing",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("trigger", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("price", sa.Double(), nullable=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), server_default="", nullable=False),
        sa.Column("kept_at", moment, server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["trigger"], ["trigger.id"], name=op.f("fk_trigger_firing_trigger_trigger")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trigger_firing")),
        comment=FIRING,
    )
    op.create_index("ix_trigger_firing_at", "trigger_firing", ["account", "at"])
    op.create_index("ix_trigger_firing_trigger", "trigger_firing", ["trigger", "number"])
    op.create_table(
        "trigger_changes",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_trigger_changes")),
        comment=CHANGES,
    )
    op.create_table(
        "trigger_split",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", moment, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("account", "symbol", "session", name=op.f("pk_trigger_split")),
        comment=SPLIT,
    )
