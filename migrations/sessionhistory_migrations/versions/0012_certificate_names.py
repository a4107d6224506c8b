"""Add the names in client certificates that are registered in place of a key's secret."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sessionhistory_migrations._indexes import create_index

revision = "0012"
down_revision = "0011"

# Each can run twice, because the step runs again if the build of the index is cut.
_STATEMENTS = (
    "alter table api_keys add column if not exists certificate_name text",
    """
    comment on column api_keys.certificate_name
    is 'DNS:… or URI:…, a name in client certificates; null: a key with a secret'
    """,
    "alter table api_keys drop constraint if exists api_keys_certificate_name_check",
    """
    alter table api_keys add constraint api_keys_certificate_name_check
    check (certificate_name is null or octet_length(secret_hash) = 0 and previous_secret_hash is null)
    """,
)


def upgrade() -> None:
    """Add the column, null in each row, and make its values unique among the keys that are not revoked."""
    for statement in _STATEMENTS:
        op.execute(statement)
    create_index(
        "api_keys_by_certificate_name",
        "api_keys",
        ["certificate_name"],
        unique=True,
        postgresql_where=sa.text("certificate_name is not null and revoke_time is null"),
    )
