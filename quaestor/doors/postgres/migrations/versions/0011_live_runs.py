"""Live runs, what is wanted of them, what they tell, and where the newest stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
STATES = "state in ('armed', 'hold', 'flatten', 'stopped')"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "live_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("config_digest", sa.String(), nullable=False),
        sa.Column("journal", sa.String(), server_default="", nullable=False),
        sa.Column("beat_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("outcome", sa.String(), server_default="", nullable=False),
        sa.Column("facts", postgresql.JSON(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_live_run"),
        comment="started_at: the runner's own clock, which a rehearsal shifts; beat_at, ended_at: the database's.",
    )
    op.create_index("ix_live_run_account_number", "live_run", ["account", "number"])
    op.create_table(
        "live_desired",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("at", TIME, server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(STATES, name=op.f("ck_live_desired_state")),
        sa.PrimaryKeyConstraint("number", name="pk_live_desired"),
        comment="What is wanted of an account's runner; append-only, the newest row counts.",
    )
    op.create_index("ix_live_desired_account_number", "live_desired", ["account", "number"])
    op.create_table(
        "live_happening",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("run", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("body", postgresql.JSON(), nullable=False),
        sa.Column("told_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_live_happening"),
        comment="What a person may want to see; an account's numbers grow in the order of commits.",
    )
    op.create_index("ix_live_happening_account_number", "live_happening", ["account", "number"])
    op.create_index("ix_live_happening_told_at", "live_happening", ["told_at"])
    op.create_table(
        "live_snapshot",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("run", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("state", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_live_snapshot"),
    )
