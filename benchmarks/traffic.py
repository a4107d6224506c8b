"""The requests of the load: appends to some sessions, and windows of some sessions."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.measuring import InvalidError
from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.history import TENANT
from sessionhistory_server.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.calls import Call
    from benchmarks.load import Load
    from benchmarks.servers import Server

SESSIONS: Final = 8
MESSAGE_BYTES: Final = 240
WINDOW_MESSAGES: Final = 20

# Sequences, counters and times of the answer to an append have more or fewer digits.
_ANSWER_VARIES_BYTES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Calls for some sessions, one for each; ``messages_each``: how many messages a call stores."""

    sessions: list[str]
    calls: list[Call]
    messages_each: int


def text(size_bytes: int) -> str:
    """Return a text of a size."""
    return ("all work and no play makes a dull benchmark; " * (size_bytes // 45 + 1))[:size_bytes]


def message(size_bytes: int = MESSAGE_BYTES) -> message_pb2.Message:
    """Return a message without an id, so that the service makes one each time it is appended."""
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=text(size_bytes))


def make_session(server: Server, sizes_bytes: Sequence[int], *, user_id: str = "") -> str:
    """Make a session with messages of these sizes, at least one; return its id."""
    session_id = f"bench-{secrets.token_hex(8)}"
    request = pb.AppendMessagesRequest(
        session_id=session_id,
        messages=map(message, sizes_bytes),
        create_session=session_pb2.Session(user_id=user_id),
    )
    server.ask(request)
    return session_id


def appends(server: Server, sizes_bytes: Sequence[int] = (MESSAGE_BYTES,) * SESSIONS) -> Traffic:
    """Return appends of messages of these sizes, each to a session of its own."""
    sessions = [make_session(server, [MESSAGE_BYTES] * WINDOW_MESSAGES) for _ in sizes_bytes]
    return append_to(server, sessions, sizes_bytes)


def append_to(server: Server, sessions: list[str], sizes_bytes: Sequence[int] = (MESSAGE_BYTES,)) -> Traffic:
    """Return appends of messages of these sizes, one to each session."""
    calls = []
    for session_id, size_bytes in zip(sessions, sizes_bytes, strict=True):
        request = pb.AppendMessageRequest(session_id=session_id, message=message(size_bytes))
        calls.append(server.record(request, answer_varies_bytes=_ANSWER_VARIES_BYTES))
    return Traffic(sessions=sessions, calls=calls, messages_each=1)


def batches(server: Server, length: int) -> Traffic:
    """Return appends of batches of messages, each to a session of its own."""
    sessions = [make_session(server, [MESSAGE_BYTES]) for _ in range(SESSIONS)]
    calls = []
    for session_id in sessions:
        messages = [message()] * length
        request = pb.AppendMessagesRequest(session_id=session_id, messages=messages)
        calls.append(server.record(request, answer_varies_bytes=_ANSWER_VARIES_BYTES * length))
    return Traffic(sessions=sessions, calls=calls, messages_each=length)


def windows(server: Server, sizes_bytes: Sequence[int] = (MESSAGE_BYTES,) * WINDOW_MESSAGES) -> Traffic:
    """Return reads of windows, each of a session of its own with messages of these sizes."""
    return windows_of(server, [make_session(server, sizes_bytes) for _ in range(SESSIONS)])


def windows_of(server: Server, sessions: list[str]) -> Traffic:
    """Return reads of the sessions' windows, with the service's default limits."""
    calls = [server.record(pb.GetHistoryRequest(session_id=session_id)) for session_id in sessions]
    return Traffic(sessions=sessions, calls=calls, messages_each=0)


@contextmanager
def all_stored(url: str, traffic: Traffic) -> Iterator[list[Load]]:
    """Make sure that what was appended in the block is in the database.

    Yields:
        A list for the block to add each load on the service.

    Raises:
        InvalidError: there is less than was acknowledged, or more than was sent.
    """
    loads: list[Load] = []
    before = count_messages(url, traffic.sessions)
    yield loads
    stored = count_messages(url, traffic.sessions) - before
    least = sum(load.answered for load in loads) * traffic.messages_each
    most = sum(load.sent for load in loads) * traffic.messages_each
    if not least <= stored <= most:
        raise InvalidError(f"{stored} messages are stored, of {least} acknowledged and {most} sent")


def count_messages(url: str, sessions: Sequence[str]) -> int:
    """Return how many messages the database has of sessions."""
    keys = [session_key(TENANT, session_id) for session_id in sessions]
    query = "select count(*) from messages where session_key = any(%s::uuid[])"
    with psycopg.connect(url) as connection:
        ((count,),) = connection.execute(query, [keys]).fetchall()
    return int(count)
