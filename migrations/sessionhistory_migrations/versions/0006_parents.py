"""Add the session from which a session was copied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns. Until now no session was a copy."""
    op.add_column(
        "sessions",
        sa.Column("parent_session_id", sa.Text(), comment="of the session it was made from"),
    )
    op.add_column(
        "sessions", sa.Column("parent_sequence", sa.BigInteger(), comment="how far that one had come")
    )
