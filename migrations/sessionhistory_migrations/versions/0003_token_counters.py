"""What the token counts of a session come from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; all counts were made by the one counter there was."""
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
