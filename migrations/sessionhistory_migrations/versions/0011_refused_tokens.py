"""Add the tokens that are refused before they expire. On Citus every node has this small table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Create the table, empty."""
    op.create_table(
        "refused_tokens",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="empty: the token of any user"),
        sa.Column("application_id", sa.Text(), nullable=False, comment="empty: the token of any application"),
        sa.Column("expire_time", _TIME, nullable=False, comment="of the token"),
        sa.Column("refuse_time", _TIME, nullable=False),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="of the last change, see credential_state",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "token_id", "user_id", "application_id", name="refused_tokens_pkey"
        ),
    )
    op.create_index("refused_tokens_by_generation", "refused_tokens", ["generation"], unique=True)
    op.create_index("refused_tokens_by_tenant", "refused_tokens", ["tenant_id", "generation"])
