"""Add the name of the counter that counted a session's tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column. Until now a single counter made all counts."""
    op.add_column(
        "sessions",
        sa.Column(
            "token_counter",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'characters'"),
            comment="what counts the messages that come without a count",
        ),
    )
