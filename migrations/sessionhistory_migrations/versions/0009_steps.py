"""Add the steps and options of a session's windows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns, all null, so that no row is written."""
    op.add_column("sessions", sa.Column("history_step_tokens", sa.Integer()))
    op.add_column("sessions", sa.Column("history_step_messages", sa.Integer()))
    op.add_column("sessions", sa.Column("history_unanswered_calls", sa.Text(), comment="KEEP or OMIT"))
    op.add_column("sessions", sa.Column("history_whole_responses", sa.Boolean()))
