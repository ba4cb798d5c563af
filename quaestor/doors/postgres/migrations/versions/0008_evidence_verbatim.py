"""An intent's evidence is kept letter by letter: its digest covers the very text, and a commit costs less."""

from __future__ import annotations

from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change it."""
    op.alter_column(
        "intent",
        "provenance",
        type_=postgresql.JSON(),
        existing_type=postgresql.JSONB(),
        existing_nullable=False,
        postgresql_using="provenance::text::json",
    )
