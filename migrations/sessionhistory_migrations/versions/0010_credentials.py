"""Add API keys, and the keys that sign page tokens. On Citus every node has these small tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0010"
down_revision = "0009"

_TIME = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Create the tables, all empty. The first change of a key makes the row of the state."""
    op.create_table(
        "api_keys",
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("scopes", ARRAY(sa.Text()), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("application_id", sa.Text()),
        sa.Column("require_user_id", sa.Boolean(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256"),
        sa.Column("previous_secret_hash", sa.LargeBinary(), comment="of the secret before the last rotation"),
        sa.Column("previous_secret_expire_time", _TIME),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("expire_time", _TIME),
        sa.Column("revoke_time", _TIME),
        sa.Column("last_use_time", _TIME),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="of the last change, see credential_state",
        ),
        sa.PrimaryKeyConstraint("api_key_id", name="api_keys_pkey"),
    )
    op.create_index("api_keys_by_generation", "api_keys", ["generation"], unique=True)
    op.create_index("api_keys_by_tenant", "api_keys", ["tenant_id", "create_time", "api_key_id"])
    op.create_table(
        "credential_state",
        sa.Column("only_row", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="counts changes of keys; its row is locked by each, so they commit in this order",
        ),
        sa.PrimaryKeyConstraint("only_row", name="credential_state_pkey"),
        sa.CheckConstraint("only_row", name="credential_state_only_row_check"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("key_number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column(
            "secret",
            sa.LargeBinary(),
            nullable=False,
            comment="32 random bytes; signs page tokens",
        ),
        sa.Column("create_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key_number", name="signing_keys_pkey"),
    )
