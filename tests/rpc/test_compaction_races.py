"""Compactions beside appends, compactions, removals and ends: one wins, or all take effect in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from rpc_support import append, call, get, said, stored, summaries

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import failure_of
from support.talk import compact, sequences, store, user, window

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled


async def test_compactions_race_appends(service: Service) -> None:
    """Each compaction covers the messages that it names; windows lose no concurrent append."""
    await store(service, *(user(1) for _ in range(4)))
    appends = [call(service, "AppendMessage", "s", message=said(token_count=1)) for _ in range(40)]
    compactions = [compact(service, through) for through in (4, 2, 3, 1) * 5]
    both = [one for pair in zip(appends[:20], compactions, strict=True) for one in pair]
    await asyncio.gather(*both, *appends[20:])
    read = await window(service, max_messages=1_000)
    assert sequences(read) == list(range(4, 45))
    assert (read.summary.message_count, read.summary.total_tokens) == (4, 4)


async def test_an_expected_sequence_and_an_append(service: Service) -> None:
    """Either the append comes after the summary, or the compaction is refused because of the append."""
    await store(service, user(1), user(1))
    for last in range(2, 12):
        results = await asyncio.gather(
            compact(service, last, expected_last_sequence=last),
            call(service, "AppendMessage", "s", message=said(token_count=1)),
            return_exceptions=True,
        )
        compacted = (await window(service)).summary.through_sequence == last
        if isinstance(results[0], pb.CompactHistoryResponse):
            assert compacted
        else:
            assert failure_of(results[0]).reason == "SEQUENCE_MISMATCH"  # type: ignore[arg-type]
            assert not compacted


@pytest.mark.parametrize("same", [True, False])
async def test_of_two_who_expect_the_same_one_gets_through(service: Service, *, same: bool) -> None:
    """Of compactions with the same expectation one succeeds; the others get the actual sequence.

    The stored summary is completely that of the successful call.
    """
    await store(service, *(user(1) for _ in range(20)))
    asked = [(10 if same else 5 + number, f"by {number}") for number in range(12)]
    results = await asyncio.gather(
        *(compact(service, n, content=text, expected_compacted_through_sequence=0) for n, text in asked),
        return_exceptions=True,
    )
    (won,) = (result for result in results if isinstance(result, pb.CompactHistoryResponse))
    lost = [failure_of(result) for result in results if result is not won]  # type: ignore[arg-type]
    actual = str(won.summary.through_sequence)
    assert {failure.reason for failure in lost} == {"COMPACTION_MISMATCH"}
    assert {failure.metadata["actual_compacted_through_sequence"] for failure in lost} == {actual}
    read = await window(service)
    assert (read.summary, read.messages[0]) == (won.summary, won.message)


async def test_those_who_expect_nothing_get_through_one_after_the_other(service: Service) -> None:
    """Without an expectation every compaction succeeds, and the last one for a sequence stays.

    Concurrent retries are stored once.
    """
    await store(service, *(user(1) for _ in range(3)))
    texts = [{"content": f"by {number % 4}", "message": {"name": f"{number % 4}"}} for number in range(24)]
    responses = await asyncio.gather(*(compact(service, 3, **text) for text in texts))
    shown = (await window(service)).messages[0]
    assert shown in [response.message for response in responses]
    assert shown.content == f"by {shown.name}"


@pytest.mark.parametrize("purge", [True, False])
async def test_compactions_race_the_end_of_the_session(
    service: Service, database_url: str, *, purge: bool
) -> None:
    """A restored session has every acknowledged compaction; a purged session leaves none."""
    await store(service, *(user(1) for _ in range(12)))
    ending = call(service, "DeleteSession", "s", purge=purge)
    compactions = [compact(service, through) for through in range(1, 13)]
    compactions.insert(6, ending)
    results = await asyncio.gather(*compactions, return_exceptions=True)
    done = [r.summary.through_sequence for r in results if isinstance(r, pb.CompactHistoryResponse)]
    refused = [failure_of(r).reason for r in results if isinstance(r, BaseException)]  # type: ignore[arg-type]
    assert set(refused) <= {"SESSION_NOT_FOUND"}
    assert len(done) + len(refused) == 12
    kept = [row[0] for row in await summaries(database_url)]
    assert kept == ([] if purge else sorted(done))


async def test_compactions_race_truncations(service: Service, database_url: str) -> None:
    """A truncation removes each summary of a message that it removes."""
    for _ in range(8):
        await append(service, "s", *[said() for _ in range(6)], new_session=spb.SessionFields())
        last = (await get(service)).last_sequence
        await asyncio.gather(
            *(compact(service, last - back) for back in range(5)),
            call(service, "TruncateMessages", "s", keep_through_sequence=last - 3),
            return_exceptions=True,
        )
        kept = [row[0] for row in await summaries(database_url)]
        messages = {message.sequence for message in await stored(service)}
        assert set(kept) <= messages
        assert (await get(service)).compacted_through_sequence == max(kept, default=0)


async def test_forks_race_compactions(service: Service) -> None:
    """A fork is a snapshot: its summaries match its compacted sequence."""
    await store(service, *(user(1) for _ in range(12)))
    compactions = [compact(service, through) for through in range(1, 13)]
    forks = [call(service, "ForkSession", "s", new_session_id=f"f{n}") for n in range(12)]
    both = [one for pair in zip(compactions, forks, strict=True) for one in pair]
    forked = [made.session for made in (await asyncio.gather(*both))[1::2]]
    for session in forked:
        read = await window(service, session.session_id)
        through = session.compacted_through_sequence
        assert read.summary.through_sequence == through
        assert read.summary.message_count == through
        assert sequences(read) == list(range(max(through, 1), 13))
