"""Short functions that call RPCs on a session, and valid requests for tests to change."""

from __future__ import annotations

import asyncio
import secrets
import string
from typing import TYPE_CHECKING, Any

import grpc

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import failure_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from google.protobuf.message import Message

    from support.service import Service

ID_CHARACTERS = "".join(sorted(set(string.printable) - set(string.whitespace) - set("\"'`\\")))
CHANNEL_IDS = (
    "19:abc@thread.tacv2;messageid=1700000000000",
    "+15550100",
    "ada+test@example.com",
    "a:1kKz==",
    "../%2e%2e/$(x)|*?<>&~#{0}[red]",
)
"""Ids that channels give, and one of another form."""
SERVICE_PATH = "/sessionhistory.v1.SessionHistoryService"

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
DEFAULT_MAX_RECEIVE_BYTES = 4 * 1024 * 1024

METHODS: tuple[str, ...] = tuple(
    method.name
    for method in pb.DESCRIPTOR.services_by_name["SessionHistoryService"].methods
    if not method.client_streaming and not method.server_streaming
)
"""The methods with one request and one response; the others have tests of their own."""
_NOT_NAMING = ("CreateSession", "EnsureActiveSession", "GetActiveSession", "ListSessions")
NAMING = tuple(name for name in METHODS if name not in _NOT_NAMING)
"""The methods whose request names an existing session."""


def fresh_id() -> str:
    """Return an id that no other test uses."""
    return secrets.token_hex(16)


def nested(depth: int) -> str:
    """Return a JSON object with nested arrays of this depth."""
    return f'{{"a":{"[" * depth}{"]" * depth}}}'


def said(content: str | None = "hello", **fields: Any) -> mpb.Message:
    """Return a message of the user."""
    values: dict[str, Any] = {"role": mpb.ROLE_USER, "content": content} | fields
    return mpb.Message(**values)


def request(method: str, session_id: str, user_id: str = "", **fields: Any) -> Any:
    """Return a valid request of any method, for a session and as a user; ``fields`` are added."""
    named: dict[str, Any] = {"session_id": session_id, "user_id": user_id}
    special: dict[str, dict[str, Any]] = {
        "UpdateSession": named | {"session": {"title": "changed"}},
        "UpdateState": named | {"patch": '{"changed":true}'},
        "GetActiveSession": {"user_id": user_id},
        "EnsureActiveSession": {"user_id": user_id, "new_session_id": session_id},
        "ListSessions": {"user_id": user_id},
        "AppendMessage": named | {"message": said()},
        "AppendMessages": named | {"messages": [said()]},
        "GetMessage": named | {"sequence": 1},
        "TruncateMessages": named | {"keep_through_sequence": 0},
        "CompactHistory": named | {"through_sequence": 1, "message": {"content": "a summary"}},
    }
    return getattr(pb, f"{method}Request")(**special.get(method, named) | fields)


async def call(service: Service, method: str, session_id: str, user_id: str = "", **fields: Any) -> Any:
    """Call any method with a valid request, changed by ``fields``."""
    return await getattr(service.stub, method)(request(method, session_id, user_id, **fields))


async def create(service: Service, session_id: str = "s", user_id: str = "", **fields: Any) -> spb.Session:
    """Create a session."""
    created: spb.Session = (
        await call(service, "CreateSession", session_id, user_id, session=spb.SessionFields(**fields))
    ).session
    return created


async def get(service: Service, session_id: str = "s") -> spb.Session:
    """Return a session."""
    found: spb.Session = (await call(service, "GetSession", session_id)).session
    return found


async def update(
    service: Service, session_id: str, *paths: str, etag: str = "", **fields: Any
) -> spb.Session:
    """Change a session: the fields that the paths name, or without paths the given ones."""
    changed: dict[str, Any] = {"session": spb.SessionFields(**fields), "etag": etag}
    if paths:
        changed["update_mask"] = {"paths": paths}
    updated: spb.Session = (await call(service, "UpdateSession", session_id, **changed)).session
    return updated


async def append(service: Service, session_id: str, *messages: mpb.Message, **fields: Any) -> Any:
    """Append a batch."""
    return await call(service, "AppendMessages", session_id, messages=messages, **fields)


async def stored(service: Service, session_id: str = "s") -> list[mpb.Message]:
    """Return all messages of a session."""
    listing = pb.ListMessagesRequest(session_id=session_id, page_size=1_000)
    pages = [page async for page in all_pages(service.stub.ListMessages, listing)]
    return [message for page in pages for message in page.messages]


async def all_pages(method: Callable[[Any], Any], first: Message) -> AsyncIterator[Any]:
    """Yield the responses of a list, page by page until its end."""
    asked: Any = type(first).FromString(first.SerializeToString())
    while True:
        page = await method(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def without(message: mpb.Message, *fields: str) -> mpb.Message:
    """Return a copy of a message without some fields; by default without those that the server sets."""
    copy = mpb.Message.FromString(message.SerializeToString())
    for field in fields or ("sequence", "create_time"):
        copy.ClearField(field)
    return copy


async def race(stubs: list[Any], calls: Iterable[tuple[str, Any]]) -> list[Any]:
    """Make calls at once, in turn on each stub; return the answers, and the reasons of failed calls."""
    sent = [getattr(stubs[i % len(stubs)], method)(asked) for i, (method, asked) in enumerate(calls)]
    return [_outcome(result) for result in await asyncio.gather(*sent, return_exceptions=True)]


def _outcome(result: Any) -> Any:
    if isinstance(result, grpc.aio.AioRpcError):
        failure = failure_of(result)
        assert failure.code is not grpc.StatusCode.INTERNAL
        return failure.reason
    if isinstance(result, BaseException):
        raise result
    return result


async def summaries(database_url: str) -> list[tuple[object, ...]]:
    """Return the stored summaries: the last covered sequence, the text, and the number of messages."""
    query = "select through_sequence, content, covered_count from summaries order by session_key, 1"
    return await asyncio.to_thread(execute, database_url, query)
