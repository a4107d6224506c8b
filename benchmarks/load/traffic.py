"""The requests of the load: appends to a set of sessions, and windows of a set of sessions."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.errors import InvalidError
from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.store.session_ref import session_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.load.h2load import Load
    from benchmarks.servers.calls import Call
    from benchmarks.servers.launch import Server

SESSIONS: Final = 8
MESSAGE_BYTES: Final = 240
WINDOW_MESSAGES: Final = 20

# Sequences, counters and times in the answer to an append have more or fewer digits.
_ANSWER_VARIES_BYTES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Calls, one for each session. ``messages_each`` is the number of messages that a call stores."""

    sessions: list[str]
    calls: list[Call]
    messages_each: int


def text(size_bytes: int) -> str:
    """Return a text of ``size_bytes``."""
    return ("all work and no play makes a dull benchmark; " * (size_bytes // 45 + 1))[:size_bytes]


def message(size_bytes: int = MESSAGE_BYTES) -> message_pb2.Message:
    """Return a message without an id: the service makes an id for each append."""
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=text(size_bytes))


def new_id() -> str:
    """Return an id for a session."""
    return f"bench-{secrets.token_hex(8)}"


def make_session(server: Server, sizes_bytes: Sequence[int], *, user_id: str = "") -> str:
    """Make a session with messages of the given sizes, at least one; return its id."""
    session_id = new_id()
    request = pb.AppendMessagesRequest(
        session_id=session_id,
        user_id=user_id,
        messages=map(message, sizes_bytes),
        new_session=session_pb2.SessionFields(),
    )
    server.ask(request)
    return session_id


def appends(server: Server, sizes_bytes: Sequence[int] = (MESSAGE_BYTES,) * SESSIONS) -> Traffic:
    """Return appends of messages of the given sizes, each to a separate session."""
    sessions = [make_session(server, [MESSAGE_BYTES] * WINDOW_MESSAGES) for _ in sizes_bytes]
    return append_to(server, sessions, sizes_bytes)


def append_to(server: Server, sessions: list[str], sizes_bytes: Sequence[int] = (MESSAGE_BYTES,)) -> Traffic:
    """Return appends of messages of the given sizes, one to each session."""
    calls = []
    for session_id, size_bytes in zip(sessions, sizes_bytes, strict=True):
        request = pb.AppendMessageRequest(session_id=session_id, message=message(size_bytes))
        calls.append(server.record(request, answer_varies_bytes=_ANSWER_VARIES_BYTES))
    return Traffic(sessions=sessions, calls=calls, messages_each=1)


def batches(server: Server, length: int) -> Traffic:
    """Return appends of batches of ``length`` messages, each to a separate session."""
    sessions = [make_session(server, [MESSAGE_BYTES]) for _ in range(SESSIONS)]
    calls = []
    for session_id in sessions:
        messages = [message()] * length
        request = pb.AppendMessagesRequest(session_id=session_id, messages=messages)
        calls.append(server.record(request, answer_varies_bytes=_ANSWER_VARIES_BYTES * length))
    return Traffic(sessions=sessions, calls=calls, messages_each=length)


def windows(server: Server, sizes_bytes: Sequence[int] = (MESSAGE_BYTES,) * WINDOW_MESSAGES) -> Traffic:
    """Return reads of windows, each of a separate session with messages of the given sizes."""
    return windows_of(server, [make_session(server, sizes_bytes) for _ in range(SESSIONS)])


def windows_of(server: Server, sessions: list[str]) -> Traffic:
    """Return reads of the windows of sessions, with the default limits of the service."""
    calls = [server.record(pb.GetHistoryRequest(session_id=session_id)) for session_id in sessions]
    return Traffic(sessions=sessions, calls=calls, messages_each=0)


@contextmanager
def all_stored(url: str, traffic: Traffic) -> Iterator[list[Load]]:
    """Check that the database has the messages that were appended in the block.

    Yields:
        A list, to which the block adds each load on the service.

    Raises:
        InvalidError: fewer messages are stored than were acknowledged, or more than were sent.
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
    """Return the number of messages of ``sessions`` in the database."""
    keys = [session_key(DEFAULT_TENANT, session_id) for session_id in sessions]
    query = "select count(*) from messages where session_key = any(%s::uuid[])"
    with psycopg.connect(url) as connection:
        ((count,),) = connection.execute(query, [keys]).fetchall()
    return int(count)
