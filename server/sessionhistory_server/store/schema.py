"""The schema in its only definition. The migrations create exactly this schema, as a test proves.

Every primary and unique key of a session's rows begins with ``session_key``, so that a cluster can be
distributed by it. The tables of credentials and limits are small, and every machine has them.
There is no foreign key. A message or a summary is only inserted under the lock of its session's row, and the
session's row is deleted before them. So none of them outlives the session. Only a release that does not know
summaries leaves summaries without a session. Such summaries are void (``guard.SUMMARIES_IN_FORCE``); a sweep
removes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

if TYPE_CHECKING:
    from typing import Any

metadata = MetaData()

_time = TIMESTAMP(timezone=True)

sessions = Table(
    "sessions",
    metadata,
    Column("session_key", Uuid(as_uuid=False), nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("user_id", Text),
    Column("title", Text, comment="null: never given one; empty: cleared"),
    Column("model", Text),
    Column("status", Text, nullable=False),
    Column("labels", JSONB, nullable=False, server_default=text("'{}'")),
    Column("metadata", Text, comment="a JSON object, kept as it was sent"),
    Column("state", Text, comment="a JSON object, kept as it was sent"),
    Column("history_max_messages", Integer),
    Column("history_token_budget", Integer),
    Column("message_count", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column(
        "unpinned_tokens",
        BigInteger,
        nullable=False,
        comment="tokens_through of the next row's base",
    ),
    Column("unpinned_bytes", BigInteger, nullable=False, comment="bytes_through of the next row's base"),
    Column("pinned_count", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="counts changes of the session, not appends"),
    Column("create_time", _time, nullable=False),
    Column("update_time", _time, nullable=False),
    Column("active_time", _time, nullable=False, comment="of the last message, else of creation"),
    Column("complete_time", _time),
    Column("delete_time", _time),
    Column("purge_time", _time),
    Column("expire_time", _time),
    Column(
        "token_counter",
        Text,
        nullable=False,
        server_default=text("'characters'"),
        comment="what counts the messages that come without a count",
    ),
    Column(
        "state_version",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="counts changes of the state",
    ),
    Column("parent_session_id", Text, comment="of the session it was made from"),
    Column("parent_sequence", BigInteger, comment="how far that one had come"),
    Column(
        "compacted_through_sequence",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="of the newest summary, 0 if there is none",
    ),
    Column(
        "compacted_removed_count",
        BigInteger,
        comment="last_sequence - message_count when the summaries were right; null: not known",
    ),
    Column("application_id", Text),
    Column("history_step_tokens", Integer),
    Column("history_step_messages", Integer),
    Column("history_unanswered_calls", Text, comment="KEEP or OMIT"),
    Column("history_whole_responses", Boolean),
    PrimaryKeyConstraint("session_key", name="sessions_pkey"),
    CheckConstraint("status in ('ACTIVE', 'COMPLETED', 'ABANDONED')", name="sessions_status_check"),
    Index(
        "sessions_by_user_open_activity",
        "tenant_id",
        "user_id",
        text("coalesce(status = 'ACTIVE' and delete_time is null, false)"),
        "active_time",
        "session_key",
    ),
    Index("sessions_by_user_creation", "tenant_id", "user_id", "create_time", "session_key"),
    Index("sessions_by_activity", "tenant_id", "active_time", "session_key"),
    Index("sessions_by_creation", "tenant_id", "create_time", "session_key"),
    Index("sessions_by_purge", "purge_time", postgresql_where=text("purge_time is not null")),
)


def _message_columns() -> list[Column[Any]]:
    """Return the columns that messages and summaries share: all of a message but its sequence."""
    return [
        Column("message_id", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("name", Text),
        Column("content", Text, comment="null and empty are kept apart"),
        Column("tool_calls", Text, comment="JSON: [[id, name, arguments], …]"),
        Column("tool_call_id", Text),
        Column(
            "parts",
            Text,
            comment='JSON: [["text", …] | ["json", …] | ["uri" | "data", type, …]'
            ' | ["reasoning", "", [text, opaque, signature]], …]',
        ),
        Column("payload", LargeBinary),
        Column("payload_type", Text),
        Column("metadata", Text, comment="a JSON object, kept as it was sent"),
        Column("model", Text),
        Column("provider", Text),
        Column("finish_reason", Text, comment="in the provider's own word"),
        Column("input_tokens", Integer),
        Column("output_tokens", Integer),
        Column("cache_read_tokens", Integer),
        Column("cache_write_tokens", Integer),
        Column("token_count_given", Integer, comment="token_count as the caller gave it, else null"),
        Column("pinned", Boolean, nullable=False, server_default=false()),
        Column("status", Text, nullable=False),
        Column("turn_id", Text),
        Column("send_time_nanos", BigInteger, comment="nanoseconds since the Unix epoch"),
        Column("token_count", Integer, nullable=False),
        Column("create_time", _time, nullable=False),
        Column("size_bytes", Integer, nullable=False, comment="in a response, at most"),
    ]


messages = Table(
    "messages",
    metadata,
    Column("session_key", Uuid(as_uuid=False), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    *_message_columns(),
    Column(
        "tokens_through",
        BigInteger,
        nullable=False,
        comment="unpinned tokens up to and with this row",
    ),
    Column(
        "bytes_through",
        BigInteger,
        nullable=False,
        comment="unpinned bytes up to and with this row",
    ),
    PrimaryKeyConstraint("session_key", "sequence", name="messages_pkey"),
    CheckConstraint(
        "role in ('SYSTEM', 'DEVELOPER', 'USER', 'ASSISTANT', 'TOOL')", name="messages_role_check"
    ),
    CheckConstraint("status in ('COMPLETE', 'INTERRUPTED')", name="messages_status_check"),
    Index("messages_by_id", "session_key", "message_id", unique=True),
    Index("messages_pinned", "session_key", "sequence", postgresql_where=text("pinned")),
)

summaries = Table(
    "summaries",
    metadata,
    Column("session_key", Uuid(as_uuid=False), nullable=False),
    Column("through_sequence", BigInteger, nullable=False, comment="of the last message it covers"),
    *_message_columns(),
    Column("covered_count", BigInteger, nullable=False, comment="unpinned messages up to through_sequence"),
    PrimaryKeyConstraint("session_key", "through_sequence", name="summaries_pkey"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("api_key_id", Text, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("user_id", Text),
    Column("application_id", Text),
    Column("require_user_id", Boolean, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256"),
    Column("previous_secret_hash", LargeBinary, comment="of the secret before the last rotation"),
    Column("previous_secret_expire_time", _time),
    Column("create_time", _time, nullable=False),
    Column("expire_time", _time),
    Column("revoke_time", _time),
    Column("last_use_time", _time),
    Column("generation", BigInteger, nullable=False, comment="of the last change, see credential_state"),
    Column(
        "certificate_name",
        Text,
        comment="DNS:… or URI:…, a name in client certificates; null: a key with a secret",
    ),
    PrimaryKeyConstraint("api_key_id", name="api_keys_pkey"),
    CheckConstraint(
        "certificate_name is null or octet_length(secret_hash) = 0 and previous_secret_hash is null",
        name="api_keys_certificate_name_check",
    ),
    Index("api_keys_by_generation", "generation", unique=True),
    Index("api_keys_by_tenant", "tenant_id", "create_time", "api_key_id"),
    Index(
        "api_keys_by_certificate_name",
        "certificate_name",
        unique=True,
        postgresql_where=text("certificate_name is not null and revoke_time is null"),
    ),
)

credential_state = Table(
    "credential_state",
    metadata,
    Column("only_row", Boolean, nullable=False, server_default=true()),
    Column(
        "generation",
        BigInteger,
        nullable=False,
        comment="counts changes of keys; its row is locked by each, so they commit in this order",
    ),
    PrimaryKeyConstraint("only_row", name="credential_state_pkey"),
    CheckConstraint("only_row", name="credential_state_only_row_check"),
)

refused_tokens = Table(
    "refused_tokens",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="empty: the token of any user"),
    Column("application_id", Text, nullable=False, comment="empty: the token of any application"),
    Column("expire_time", _time, nullable=False, comment="of the token"),
    Column("refuse_time", _time, nullable=False),
    Column("generation", BigInteger, nullable=False, comment="of the last change, see credential_state"),
    PrimaryKeyConstraint("tenant_id", "token_id", "user_id", "application_id", name="refused_tokens_pkey"),
    Index("refused_tokens_by_generation", "generation", unique=True),
    Index("refused_tokens_by_tenant", "tenant_id", "generation"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_number", BigInteger, nullable=False, autoincrement=False),
    Column("secret", LargeBinary, nullable=False, comment="32 random bytes; signs page tokens"),
    Column("create_time", _time, nullable=False),
    PrimaryKeyConstraint("key_number", name="signing_keys_pkey"),
)

limits = Table(
    "limits",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="empty: for every tenant without its own"),
    Column("name", Text, nullable=False),
    Column("value", BigInteger, comment="null: no limit"),
    Column("is_set", Boolean, nullable=False, comment="false: it was set once, and is no longer"),
    Column("generation", BigInteger, nullable=False, comment="of the last change, see credential_state"),
    PrimaryKeyConstraint("tenant_id", "name", name="limits_pkey"),
    Index("limits_by_generation", "generation"),
)

# Each change of a user's row is made with the same change of its tenant's, so a tenant's is their sum.
tenant_usage = Table(
    "tenant_usage",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", name="tenant_usage_pkey"),
)

user_usage = Table(
    "user_usage",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="empty: of sessions without a user"),
    Column("sessions", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", name="user_usage_pkey"),
)

usage_recounts = Table(
    "usage_recounts",
    metadata,
    Column("only_row", Boolean, nullable=False, server_default=true()),
    Column("claim", BigInteger, nullable=False, comment="counts the recounts that have begun"),
    Column("active_time", _time, nullable=False, comment="of the last sign of the last recount"),
    PrimaryKeyConstraint("only_row", name="usage_recounts_pkey"),
    CheckConstraint("only_row", name="usage_recounts_only_row_check"),
)
