"""Add the table of summaries, and the sequence up to which a session is compacted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table, and the column that distinguishes sessions without summaries."""
    op.add_column(
        "sessions",
        sa.Column(
            "compacted_through_sequence",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="of the newest summary, 0 if there is none",
        ),
    )
    op.create_table(
        "summaries",
        sa.Column("session_key", sa.Uuid(), nullable=False),
        sa.Column(
            "through_sequence", sa.BigInteger(), nullable=False, comment="of the last message it covers"
        ),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("content", sa.Text(), comment="null and empty are kept apart"),
        sa.Column("tool_calls", sa.Text(), comment="JSON: [[id, name, arguments], …]"),
        sa.Column("tool_call_id", sa.Text()),
        sa.Column(
            "parts",
            sa.Text(),
            comment='JSON: [["text", …] | ["json", …] | ["uri" | "data", type, …], …]',
        ),
        sa.Column("payload", sa.LargeBinary()),
        sa.Column("payload_type", sa.Text()),
        sa.Column("metadata", sa.Text(), comment="a JSON object, kept as it was sent"),
        sa.Column("model", sa.Text()),
        sa.Column("provider", sa.Text()),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("cache_read_tokens", sa.Integer()),
        sa.Column("cache_write_tokens", sa.Integer()),
        sa.Column(
            "token_count_given",
            sa.Integer(),
            comment="token_count as the caller gave it, else null",
        ),
        sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Text()),
        sa.Column("send_time_nanos", sa.BigInteger(), comment="nanoseconds since the Unix epoch"),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("create_time", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False, comment="in a response, at most"),
        sa.Column(
            "covered_count",
            sa.BigInteger(),
            nullable=False,
            comment="unpinned messages up to through_sequence",
        ),
        sa.PrimaryKeyConstraint("session_key", "through_sequence", name="summaries_pkey"),
    )
