"""Add applications, finish reasons, parts with reasoning, and the removals that summaries know of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PARTS = 'JSON: [["text", …] | ["json", …] | ["uri" | "data", type, …], …]'
_PARTS_WITH_REASONING = (
    'JSON: [["text", …] | ["json", …] | ["uri" | "data", type, …]'
    ' | ["reasoning", "", [text, opaque, signature]], …]'
)


def upgrade() -> None:
    """Add the columns, all null, so that no row is written; describe reasoning in the parts' comment."""
    op.add_column(
        "sessions",
        sa.Column(
            "compacted_removed_count",
            sa.BigInteger(),
            comment="last_sequence - message_count when the summaries were right; null: not known",
        ),
    )
    op.add_column("sessions", sa.Column("application_id", sa.Text()))
    for table in ("messages", "summaries"):
        op.add_column(table, sa.Column("finish_reason", sa.Text(), comment="in the provider's own word"))
        op.alter_column(table, "parts", comment=_PARTS_WITH_REASONING, existing_comment=_PARTS)
