"""Add limits of tenants, and counts of stored sessions and bytes. On Citus every node has these tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Create the tables, all empty. The first recount counts the sessions that exist."""
    op.create_table(
        "limits",
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="empty: for every tenant without its own"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), comment="null: no limit"),
        sa.Column("is_set", sa.Boolean(), nullable=False, comment="false: it was set once, and is no longer"),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="of the last change, see credential_state",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="limits_pkey"),
    )
    op.create_index("limits_by_generation", "limits", ["generation"])
    op.create_table(
        "tenant_usage",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="tenant_usage_pkey"),
    )
    op.create_table(
        "user_usage",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="empty: of sessions without a user"),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="user_usage_pkey"),
    )
    op.create_table(
        "usage_recounts",
        sa.Column("only_row", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("claim", sa.BigInteger(), nullable=False, comment="counts the recounts that have begun"),
        sa.Column("active_time", _TIME, nullable=False, comment="of the last sign of the last recount"),
        sa.PrimaryKeyConstraint("only_row", name="usage_recounts_pkey"),
        sa.CheckConstraint("only_row", name="usage_recounts_only_row_check"),
    )
