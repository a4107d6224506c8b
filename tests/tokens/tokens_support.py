"""Short functions that append messages to count, and read the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute

if TYPE_CHECKING:
    from support.service import Service


def says(text: str | None = "hello", **fields: Any) -> mpb.Message:
    """Return a user message without a token count."""
    return mpb.Message(**{"role": mpb.ROLE_USER, "content": text} | fields)


async def append(service: Service, *messages: mpb.Message, session_id: str = "s") -> list[int]:
    """Append messages one by one to a session, which is created if missing; return their counts."""
    counts = []
    for message in messages:
        request = pb.AppendMessageRequest(
            session_id=session_id, message=message, new_session=spb.SessionFields()
        )
        counts.append((await service.stub.AppendMessage(request)).message.token_count)
    return counts


async def counter_of(service: Service, session_id: str = "s") -> str:
    """Return the counter that a session names."""
    request = pb.GetSessionRequest(session_id=session_id)
    return str((await service.stub.GetSession(request)).session.token_counter)


async def recount(service: Service, session_id: str = "s", **fields: Any) -> pb.RecountTokensResponse:
    """Recount a session."""
    request = pb.RecountTokensRequest(session_id=session_id, **fields)
    response: pb.RecountTokensResponse = await service.stub.RecountTokens(request)
    return response


def numbers(url: str, session_id: str = "s") -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return every number that depends on counting: of the messages, and of the session."""
    chosen = f"session_id = '{session_id}'"
    return execute(
        url,
        f"""select m.sequence, m.token_count, m.tokens_through, m.bytes_through
            from sessions join messages as m using (session_key) where {chosen} order by m.sequence""",
    ), execute(
        url,
        f"""select token_counter, message_count, total_tokens, last_sequence, unpinned_tokens, unpinned_bytes,
            pinned_count from sessions where {chosen}""",
    )


def inconsistent(url: str) -> list[tuple[object, ...]]:
    """Return the sessions and messages whose totals are not those of the rows."""
    return execute(
        url,
        """
        with running as (
            select session_key, sequence, token_count, pinned, tokens_through,
                   sum(case when pinned then 0 else token_count end) over
                       (partition by session_key order by sequence) as expected
            from messages
        )
        select session_key::text, sequence from running where tokens_through <> expected
        union all
        select session_key::text, 0 from sessions left join (
            select session_key, count(*) as messages, sum(token_count) as tokens,
                   sum(token_count) filter (where not pinned) as unpinned
            from running group by 1
        ) as sums using (session_key)
        where (message_count, total_tokens, unpinned_tokens)
            <> (coalesce(messages, 0), coalesce(tokens, 0), coalesce(unpinned, 0))
        """,
    )
