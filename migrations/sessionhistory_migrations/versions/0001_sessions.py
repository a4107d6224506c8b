"""Add the table of sessions, with the indexes of its lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "sessions",
        sa.Column("session_key", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("title", sa.Text(), comment="null: never given one; empty: cleared"),
        sa.Column("model", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("metadata", sa.Text(), comment="a JSON object, kept as it was sent"),
        sa.Column("state", sa.Text(), comment="a JSON object, kept as it was sent"),
        sa.Column("history_max_messages", sa.Integer()),
        sa.Column("history_token_budget", sa.Integer()),
        sa.Column("message_count", sa.BigInteger(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column(
            "unpinned_tokens",
            sa.BigInteger(),
            nullable=False,
            comment="tokens_through of the next row's base",
        ),
        sa.Column(
            "unpinned_bytes",
            sa.BigInteger(),
            nullable=False,
            comment="bytes_through of the next row's base",
        ),
        sa.Column("pinned_count", sa.Integer(), nullable=False),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="counts changes of the session, not appends",
        ),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.Column("active_time", _TIME, nullable=False, comment="of the last message, else of creation"),
        sa.Column("complete_time", _TIME),
        sa.Column("delete_time", _TIME),
        sa.Column("purge_time", _TIME),
        sa.Column("expire_time", _TIME),
        sa.PrimaryKeyConstraint("session_key", name="sessions_pkey"),
        sa.CheckConstraint("status in ('ACTIVE', 'COMPLETED', 'ABANDONED')", name="sessions_status_check"),
    )
    for name, columns in (
        ("sessions_by_user_activity", ["tenant_id", "user_id", "active_time", "session_key"]),
        ("sessions_by_user_creation", ["tenant_id", "user_id", "create_time", "session_key"]),
        ("sessions_by_activity", ["tenant_id", "active_time", "session_key"]),
        ("sessions_by_creation", ["tenant_id", "create_time", "session_key"]),
    ):
        op.create_index(name, "sessions", columns)
    op.create_index(
        "sessions_by_purge",
        "sessions",
        ["purge_time"],
        postgresql_where=sa.text("purge_time is not null"),
    )
