"""How logins stand, what was asked of the refresher, and what waits, encrypted, for a vault or for a login."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
STATES = "state in ('unseeded', 'seeding', 'awaiting_approval', 'active', 'refreshing', 'broken')"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "auth",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", TIME, nullable=True),
        sa.Column("seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("issued_at", TIME, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("last_refresh_at", TIME, nullable=True),
        sa.Column("again_at", TIME, nullable=True),
        sa.Column("cool_until", TIME, nullable=True),
        sa.Column("deadline", TIME, nullable=True),
        sa.Column("attempt", sa.Uuid(), nullable=True),
        sa.Column("back", sa.String(), server_default="unseeded", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("cure", sa.String(), server_default="", nullable=False),
        sa.CheckConstraint(STATES, name=op.f("ck_auth_state")),
        sa.PrimaryKeyConstraint("alias", name="pk_auth"),
        comment="How a login stands. No secret is in it; sent counts requests whose outcome nobody knows.",
    )
    op.create_table(
        "auth_event",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("was", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_auth_event"),
        comment="What happened to a login; append-only.",
    )
    op.create_index("ix_auth_event_alias_number", "auth_event", ["alias", "number"])
    op.create_table(
        "auth_request",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("alias", "seq", name="pk_auth_request"),
        comment="The broker refused the access token of that number; said once, however many were refused.",
    )
    op.create_table(
        "auth_spool",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("at", TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name="pk_auth_spool"),
        comment="New tokens, encrypted, that the vault does not take yet.",
    )
    op.create_table(
        "auth_code",
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("at", TIME, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name="pk_auth_code"),
        comment="A code that a person typed, encrypted, on its way to a login; gone when it is taken.",
    )
