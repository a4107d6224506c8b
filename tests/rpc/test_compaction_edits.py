"""The summaries of a session that is truncated, copied or purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rpc_support import append, call, get, said, summaries

from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import fails
from support.talk import compact, pinned, sequences, store, user, window

if TYPE_CHECKING:
    from support.service import Service


async def test_a_purge_takes_the_summaries_along(service: Service, database_url: str) -> None:
    """A purge removes the summaries, so that a session with the same id has none."""
    await store(service, user(1), user(1))
    await compact(service, 1)
    await call(service, "DeleteSession", "s", purge=True)
    assert await summaries(database_url) == []


async def test_what_another_release_left_is_not_found(service: Service, database_url: str) -> None:
    """A session never shows summaries of an earlier session with its id.

    An older release leaves them behind when it purges a session.
    """
    await store(service, *(user(1) for _ in range(6)))
    await compact(service, 2, content="of another session")
    await compact(service, 5, content="of another session")
    execute(database_url, "delete from sessions", "delete from messages")
    await store(service, *(user(1) for _ in range(6)))
    assert (
        sequences(await window(service))
        == sequences(await window(service, max_turns=9))
        == [1, 2, 3, 4, 5, 6]
    )
    first = await compact(service, 4)
    assert (first.summary.message_count, (await window(service)).summary) == (4, first.summary)
    assert sequences(await window(service, before_sequence=4)) == [1, 2, 3]
    assert await summaries(database_url) == [(4, "in short", 4)]


@pytest.mark.parametrize("edit", ["TruncateMessages", "AppendMessages"])
async def test_a_removal_takes_the_summaries_of_what_it_removes(
    service: Service, database_url: str, edit: str
) -> None:
    """A removal deletes summaries of removed messages; the newest of the others applies again."""
    await store(service, *(user(1) for _ in range(9)))
    for through in (2, 4, 6, 8):
        await compact(service, through, content=str(through))

    async def remove(keep: int) -> None:
        if edit == "TruncateMessages":
            await call(service, edit, "s", keep_through_sequence=keep)
        else:
            await call(service, edit, "s", messages=[said()], keep_through_sequence=keep)

    for after, kept in ((8, [2, 4, 6, 8]), (7, [2, 4, 6]), (4, [2, 4]), (1, [])):
        await remove(after)
        assert [row[0] for row in await summaries(database_url)] == kept
        through = max(kept, default=0)
        assert (await get(service)).compacted_through_sequence == through
        read = await window(service)
        assert read.summary.through_sequence == through
        assert sequences(read)[0] == (through or 1)
        assert read.omitted_message_count == read.summary.message_count


async def test_a_truncated_session_is_compacted_again(service: Service) -> None:
    """A truncated session can be compacted again across the gap, with the right counts.

    A summary of removed messages is refused.
    """
    await store(service, *(user(10) for _ in range(6)))
    await compact(service, 5)
    await call(service, "TruncateMessages", "s", keep_through_sequence=3)
    await store(service, user(1), user(1), user(1))
    with fails("NOT_FOUND", "MESSAGE_NOT_FOUND"):
        await compact(service, 5)
    again = await compact(service, 8, expected_compacted_through_sequence=0)
    assert (again.summary.message_count, again.summary.total_tokens) == (5, 32)
    assert sequences(await window(service)) == [8, 9]


@pytest.mark.parametrize(("up_to", "through"), [(None, 6), (9, 6), (6, 6), (5, 4), (2, 2), (1, 0), (0, 0)])
async def test_a_fork_has_the_summaries_of_what_it_has(
    service: Service, up_to: int | None, through: int
) -> None:
    """A fork's windows are those of its original; later compactions of one do not change the other."""
    await store(service, pinned(1), *(user(10) for _ in range(8)))
    for covered in (2, 4, 6):
        await compact(service, covered, content=str(covered))
    forked = await call(service, "ForkSession", "s", through_sequence=up_to, new_session_id="f")
    assert forked.session.compacted_through_sequence == through
    end = 9 if up_to is None else up_to
    for before in range(1, end + 2):
        ours = await window(service, before_sequence=before)
        theirs = await window(service, "f", before_sequence=before)
        assert (theirs.messages, theirs.summary, theirs.cut) == (ours.messages, ours.summary, ours.cut)
    await call(service, "TruncateMessages", "s", keep_through_sequence=1)
    assert (await get(service, "f")).compacted_through_sequence == through
    if through:
        again = await compact(service, through, session_id="f", content="again")
        assert again.summary.message_count == through - 1
        assert (await get(service)).compacted_through_sequence == 0


@pytest.mark.parametrize("keep", [True, False])
async def test_a_reset_keeps_the_summaries_with_the_history(service: Service, *, keep: bool) -> None:
    """A reset that keeps the messages keeps the summaries, else the new session has none."""
    await store(service, *(user(1) for _ in range(3)))
    await compact(service, 2)
    reset = await call(service, "ResetSession", "s", new_session_id="n", keep_messages=keep)
    assert reset.session.compacted_through_sequence == (2 if keep else 0)
    assert sequences(await window(service, "n")) == ([2, 3] if keep else [])
    assert sequences(await window(service)) == [2, 3]


async def test_a_fork_finds_no_summary_of_a_session_before(service: Service, database_url: str) -> None:
    """A fork deletes the summaries that an older release left behind under the new id."""
    await store(service, *(user(1) for _ in range(3)))
    for through in (1, 2):
        await compact(service, through, content="of another session")
    execute(database_url, "delete from sessions", "delete from messages")
    await append(service, "t", *[said() for _ in range(3)], new_session=spb.SessionFields())
    await compact(service, 2, session_id="t")
    await call(service, "ForkSession", "t", new_session_id="s")
    assert (await window(service)).messages[0].content == "in short"
    assert not (await window(service, before_sequence=2)).HasField("summary")
