"""The revisions of this release, and rows for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory

import sessionhistory_migrations as migrations

if TYPE_CHECKING:
    from alembic.script import Script

ROWS = {
    "0001": """
        insert into sessions (session_key, tenant_id, session_id, user_id, title, status, labels, metadata,
            message_count, total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count,
            revision, create_time, update_time, active_time)
        values (encode(substring(sha256('default\\000old') for 16), 'hex')::uuid, 'default', 'old', 'u',
            'old times', 'ACTIVE', '{"colour": "red"}', '{"a": 1.0}', 2, 20, 2, 10, 300, 1, 1,
            '2020-01-01', '2020-01-01', '2020-01-01')
    """,
    "0002": """
        insert into messages (session_key, sequence, message_id, role, content, pinned, status, token_count,
            create_time, size_bytes, tokens_through, bytes_through)
        select session_key, n, 'message-' || n, 'USER', content, n = 1, 'COMPLETE', 10, create_time, 300,
               10 * (n - 1), 300 * (n - 1)
        from sessions cross join (values (1, 'one'), (2, 'two')) as told (n, content)
    """,
    "0003": """
        insert into sessions (session_key, tenant_id, session_id, status, message_count, total_tokens,
            last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time, update_time,
            active_time, token_counter)
        values (gen_random_uuid(), 'default', 'counted', 'ACTIVE', 0, 0, 0, 0, 0, 0, 1, '2020-01-01',
            '2020-01-01', '2020-01-01', 'tiktoken:gone')
    """,
    "0004": """
        insert into sessions (session_key, tenant_id, session_id, status, state, state_version, message_count,
            total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time,
            update_time, active_time)
        values (encode(substring(sha256('default\\000patched') for 16), 'hex')::uuid, 'default', 'patched',
            'ACTIVE', '{"a": 1.0}', 7, 0, 0, 0, 0, 0, 0, 8, '2020-01-01', '2020-01-01', '2020-01-01')
    """,
    "0005": """
        insert into sessions (session_key, tenant_id, session_id, user_id, status, message_count,
            total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time,
            update_time, active_time, complete_time)
        values (encode(substring(sha256('default\\000ended') for 16), 'hex')::uuid, 'default', 'ended', 'u',
            'COMPLETED', 0, 0, 0, 0, 0, 0, 1, '2020-01-01', '2020-01-01', '2020-01-02', '2020-01-03')
    """,
    "0006": """
        insert into sessions (session_key, tenant_id, session_id, status, message_count, total_tokens,
            last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time, update_time,
            active_time, parent_session_id, parent_sequence)
        values (gen_random_uuid(), 'default', 'forked', 'ACTIVE', 0, 0, 0, 0, 0, 0, 1, '2020-01-01',
            '2020-01-01', '2020-01-01', 'old', 1)
    """,
    "0007": """
        insert into summaries (session_key, through_sequence, message_id, role, content, status, token_count,
            create_time, size_bytes, covered_count)
        select session_key, 2, 'summary-2', 'SYSTEM', 'both', 'COMPLETE', 10, create_time, 300, 1
        from sessions
    """,
    "0008": """
        with session as (
            insert into sessions (session_key, tenant_id, session_id, user_id, application_id, status,
                message_count, total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count,
                revision, create_time, update_time, active_time, compacted_removed_count)
            values (encode(substring(sha256('default\\000thoughtful') for 16), 'hex')::uuid, 'default',
                'thoughtful', 'v', 'an-application', 'ACTIVE', 1, 10, 1, 10, 300, 0, 1, '2020-01-01',
                '2020-01-01', '2020-01-01', 0)
            returning session_key
        )
        insert into messages (session_key, sequence, message_id, role, parts, finish_reason, status,
            token_count, create_time, size_bytes, tokens_through, bytes_through)
        select session_key, 1, 'message-1', 'ASSISTANT', '[["reasoning", "", ["Hm.", "", "AbC="]]]', 'stop',
            'COMPLETE', 10, '2020-01-01', 300, 10, 300
        from session
    """,
    "0009": """
        insert into sessions (session_key, tenant_id, session_id, status, message_count, total_tokens,
            last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time, update_time,
            active_time, history_step_tokens, history_step_messages, history_unanswered_calls,
            history_whole_responses)
        values (gen_random_uuid(), 'default', 'stepped', 'ACTIVE', 0, 0, 0, 0, 0, 0, 1, '2020-01-01',
            '2020-01-01', '2020-01-01', 1000, 5, 'OMIT', true)
    """,
    "0010": """
        insert into api_keys (api_key_id, tenant_id, display_name, scopes, require_user_id, secret_hash,
            create_time, generation)
        values ('AAAAAAAAAAAAAAAA', 'default', '', '{read}', false, '', '2020-01-01', 1)
    """,
    "0011": """
        insert into refused_tokens (tenant_id, token_id, user_id, application_id, expire_time, refuse_time,
            generation)
        values ('default', 'id', '', '', '2120-01-01', '2020-01-01', 3)
    """,
    "0012": """
        insert into api_keys (api_key_id, tenant_id, display_name, scopes, require_user_id, secret_hash,
            certificate_name, create_time, generation)
        values ('BBBBBBBBBBBBBBBB', 'default', '', '{read}', false, '', 'DNS:orders', '2020-01-01', 2)
    """,
    "0013": """
        with counted as (
            insert into tenant_usage (tenant_id, sessions, bytes) values ('default', 1, 300)
        ), of_user as (
            insert into user_usage (tenant_id, user_id, sessions, bytes) values ('default', '', 1, 300)
        ), recounted as (
            insert into usage_recounts (claim, active_time) values (1, '2020-01-01')
        )
        insert into limits (tenant_id, name, value, is_set, generation)
        values ('', 'tenant_sessions', 5, true, 3)
    """,
}
"""By revision: one statement that inserts a row as releases of that revision stored it."""


def scripts() -> list[Script]:
    """Return the migrations, first to last."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return list(ScriptDirectory.from_config(config).walk_revisions())[::-1]


def revisions() -> list[str]:
    """Return the revisions, first to last."""
    return [script.revision for script in scripts()]
