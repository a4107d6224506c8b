"""Add the version of a session's state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; its default is constant, so that no row is written."""
    op.add_column(
        "sessions",
        sa.Column(
            "state_version",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="counts changes of the state",
        ),
    )
