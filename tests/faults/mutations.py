"""Messages that no honest caller sends, for every method, sent as fast as they are answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc.aio
from load import CUT_WHILE_SENDING

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.service import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_SERVICE = "/sessionhistory.v1.SessionHistoryService/"
_HEALTH = "/grpc.health.v1.Health/"
_IN_FLIGHT = 128
_CHANNELS = 4
_TIMEOUT_SECONDS = 20
# A watch goes on until its caller ends it.
_WATCH_SECONDS = 0.5

_MESSAGE = {
    "message_id": "m",
    "role": "ROLE_USER",
    "content": "hello",
    "metadata": '{"a": 1}',
    "turn_id": "t",
}

UNARY = {
    _SERVICE + name: getattr(pb, f"{name}Request")(**fields).SerializeToString()
    for name, fields in {
        "CreateSession": {"session_id": "s", "session": {"title": "t", "labels": {"a": "b"}}},
        "GetSession": {"session_id": "s", "user_id": "u"},
        "UpdateSession": {"session_id": "s", "session": {"title": "x"}, "update_mask": {"paths": ["title"]}},
        "UpdateState": {"session_id": "s", "patch": '{"a": 1}'},
        "ListSessions": {"user_id": "u", "labels": {"a": "b"}, "title_contains": "t", "page_token": "abc"},
        "GetActiveSession": {"user_id": "u"},
        "EnsureActiveSession": {"user_id": "u", "new_session": {"title": "t"}},
        "DeleteSession": {"session_id": "s", "allow_missing": True},
        "UndeleteSession": {"session_id": "s"},
        "RecountTokens": {"session_id": "s"},
        "AppendMessage": {"session_id": "s", "message": _MESSAGE, "new_session": {}, "history": {}},
        "AppendMessages": {"session_id": "s", "messages": [_MESSAGE], "new_session": {}},
        "GetMessage": {"session_id": "s", "sequence": 1},
        "GetHistory": {"session_id": "s", "max_messages": 5, "token_budget": 100},
        "ListMessages": {"session_id": "s", "page_size": 3, "page_token": "x"},
        "CompactHistory": {"session_id": "s", "through_sequence": 1, "message": {"content": "x"}},
        "TruncateMessages": {"session_id": "s", "keep_through_sequence": 1},
        "ForkSession": {"session_id": "s", "new_session_id": "f", "allow_existing": True},
        "ResetSession": {"session_id": "s", "keep_messages": True},
    }.items()
} | {f"{_HEALTH}Check": b"\n\x00", f"{_HEALTH}List": b""}
"""A valid request of each RPC that takes one message and answers with one."""

STREAMED = {
    _SERVICE + "CallStream": pb.CallStreamRequest(
        header={}, calls=[{"number": 1, "timeout": {"seconds": 1}, "get_history": {"session_id": "s"}}]
    ).SerializeToString(),
    _SERVICE + "AppendMessageStream": b"\n\x07\n\x01s\x1a\x02\x18\x03",
    f"{_HEALTH}Watch": b"\n\x00",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": b":\x00",
}
"""A valid message of each RPC that streams, in either direction."""


def mutated(valid: bytes, randomness: random.Random) -> bytes:
    """Return bytes that are close to a valid message, or nothing like one."""
    data = bytearray(valid)
    place = randomness.randrange(len(data) + 1)
    kind = randomness.randrange(7)
    if kind == 0:
        return randomness.randbytes(randomness.randrange(200))
    if kind == 1 and data:
        data[place % len(data)] ^= 1 << randomness.randrange(8)
    elif kind == 2:
        del data[place:]
    elif kind == 3:
        data[place:place] = randomness.randbytes(randomness.randrange(1, 9))
    elif kind == 4:
        data[place:place] = b"\xff\xff\xff\xff\x0f"  # a length, or a number, of 32 bits
    elif kind == 5:
        data += b"\x0a\x03\xff\xfe\x00"  # a string that is not UTF-8
    else:
        data *= randomness.randrange(2, 50)
    return bytes(data)


def send(address: str, count: int, seed: int) -> Counter[str]:
    """Send this many mutated messages, many at a time; return how often each code came back."""
    return asyncio.run(_send(address, count, random.Random(seed)))


async def _send(address: str, count: int, randomness: random.Random) -> Counter[str]:
    codes: Counter[str] = Counter()
    channels = [connect(address) for _ in range(_CHANNELS)]
    calls = [call for channel in channels for call in _calls(channel)]
    left = iter(range(count))

    async def call_on() -> None:
        for _ in left:
            call, valid = randomness.choice(calls)
            codes[await _code(call(mutated(valid, randomness)))] += 1

    try:
        await asyncio.gather(*(call_on() for _ in range(_IN_FLIGHT)))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return codes


def _calls(channel: grpc.aio.Channel) -> list[tuple[Callable[[bytes], Awaitable[Any]], bytes]]:
    """Return a function that calls each method, and a valid message of the method."""
    unary = [(partial(channel.unary_unary(p), timeout=_TIMEOUT_SECONDS), valid) for p, valid in UNARY.items()]
    streamed = [(partial(_stream, channel.stream_stream(p), p), valid) for p, valid in STREAMED.items()]
    return [*unary, *streamed]


async def _stream(method: grpc.aio.StreamStreamMultiCallable, path: str, data: bytes) -> None:
    timeout = _WATCH_SECONDS if path.endswith("Watch") else _TIMEOUT_SECONDS
    async for _ in method(iter([data]), timeout=timeout):
        pass


async def _code(answer: Awaitable[Any]) -> str:
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        details = error.details()
        return details if details == CUT_WHILE_SENDING else error.code().name
    return "OK"
