"""Add the table of messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "messages",
        sa.Column("session_key", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
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
            "tokens_through",
            sa.BigInteger(),
            nullable=False,
            comment="unpinned tokens up to and with this row",
        ),
        sa.Column(
            "bytes_through",
            sa.BigInteger(),
            nullable=False,
            comment="unpinned bytes up to and with this row",
        ),
        sa.PrimaryKeyConstraint("session_key", "sequence", name="messages_pkey"),
        sa.CheckConstraint(
            "role in ('SYSTEM', 'DEVELOPER', 'USER', 'ASSISTANT', 'TOOL')",
            name="messages_role_check",
        ),
        sa.CheckConstraint("status in ('COMPLETE', 'INTERRUPTED')", name="messages_status_check"),
    )
    op.create_index("messages_by_id", "messages", ["session_key", "message_id"], unique=True)
    op.create_index(
        "messages_pinned",
        "messages",
        ["session_key", "sequence"],
        postgresql_where=sa.text("pinned"),
    )
