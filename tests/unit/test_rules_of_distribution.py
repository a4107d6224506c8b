"""Each rule for statements on a distributed database finds statements that break it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import distribution

if TYPE_CHECKING:
    from support.distribution import Rule

# By rule: statements that break it.
BREACHES: dict[Rule, str] = {
    distribution.without_key: """
        select title from sessions;
        select title from sessions where session_key > $1::uuid;
        select title from sessions where session_key = $1::uuid or title = $2::text;
        select title from sessions where coalesce(session_key = $1::uuid, false);
        select title from sessions where session_key = md5($1::text)::uuid;
        select title from sessions where (select session_key = $1::uuid);
        select title from sessions join messages using (session_key) where sessions.session_key = $1::uuid;
        select title from sessions, messages
        where messages.session_key = sessions.session_key and sessions.session_key = $1::uuid;
        select title from sessions, messages where session_key = $1::uuid;
        select title from sessions left join messages
        on sessions.session_key = $1::uuid and messages.session_key = $1::uuid;
        select title from sessions cross join lateral (
            select sequence from messages where messages.session_key = sessions.session_key
        ) as own where session_key = $1::uuid;
        with found as (select session_key from sessions where session_key = $1::uuid)
        select sequence from messages, found where messages.session_key = found.session_key;
        select title from sessions where session_key = $1::uuid union all select title from sessions;
        update sessions set title = $1::text where session_id = $2::text;
        update sessions set title = (select content from messages limit 1) where session_key = $1::uuid;
        delete from messages using sessions where sessions.session_key = $1::uuid;
        delete from summaries where session_key = $1::uuid and not exists (select from sessions);
        insert into messages (session_key, sequence) select gen_random_uuid(), 1;
        insert into messages (session_key, sequence) values ($1::uuid, 1), ($2::uuid, 1);
        insert into audit (message) values ($1::text);
        update audit set message = $1::text where id = $2::uuid
    """,
    distribution.refused_everywhere: """
        select title from sessions cross join lateral (select 1 from messages limit 1) as own;
        select title from sessions where status = 'ACTIVE' for update;
        delete from sessions where purge_time < now()
    """,
    distribution.batches: """
        select title from sessions where session_key = any($1::uuid[]);
        select title from sessions where session_key <> all($1::uuid[]);
        select title from sessions where session_key in ($1::uuid, $2::uuid);
        select title from sessions where (session_key, revision) in (select key, revision from asked);
        select title from sessions, unnest($1::uuid[]) as wanted (key) where session_key = wanted.key;
        select title from json_to_recordset($1::json) as asked (wanted uuid)
        cross join lateral (select title from sessions where session_key = asked.wanted) as found
    """,
    distribution.unstable_choices: """
        update sessions set complete_time = case when status = 'ACTIVE' then now() end;
        update sessions set expire_time = coalesce($1::timestamptz, now());
        update sessions set expire_time = coalesce($1::timestamptz, (select now()) + $2::interval);
        update sessions set expire_time = coalesce(expire_time + interval '1 day', $1::timestamptz);
        update sessions set update_time = clock_timestamp();
        delete from sessions where coalesce(purge_time <= current_timestamp, false);
        with gone as (delete from sessions where case when purge_time < now() then true end returning true)
        select count(*) from gone
    """,
    distribution.not_appending: """
        with session as (update sessions set revision = 2 where session_key = $1::uuid returning true)
        select * from session;
        with stored as (insert into messages (session_key) values ($1::uuid) returning true)
        select * from stored;
        insert into messages (session_key, sequence)
        select $1::uuid, sequence from json_to_recordset($2::json) as new (sequence bigint)
    """,
}


@pytest.mark.parametrize(
    ("rule", "statement"),
    [(rule, " ".join(text.split())) for rule, texts in BREACHES.items() for text in texts.split(";")],
)
def test_a_rule_finds_its_breaches(rule: Rule, statement: str) -> None:
    """Each of these statements breaks one rule."""
    assert rule(distribution.parse(statement))


ALLOWED = """
    select title from sessions where user_id = $1::text and (session_key = $2::uuid and true);
    select sequence from sessions left join messages on messages.session_key = $1::uuid
    where sessions.session_key = $1::uuid;
    update sessions set complete_time = case when status = 'ACTIVE' then (select now()) end,
    update_time = now(), purge_time = coalesce(purge_time, $2::timestamptz) + interval '1 day'
    where session_key = $1::uuid;
    insert into messages (session_key, sequence) values ($1::uuid, 1), ($1::uuid, 2);
    delete from messages where session_key = $1::uuid and sequence = any($2::bigint[])
"""


@pytest.mark.parametrize("statement", [" ".join(text.split()) for text in ALLOWED.split(";")])
def test_the_rules_allow_the_rest(statement: str) -> None:
    """Each of these statements obeys all rules."""
    tree = distribution.parse(statement)
    assert not [rule(tree) for rule in BREACHES if rule(tree)]
