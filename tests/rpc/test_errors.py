"""The table of errors: the code, the reason and the details of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import METHODS, NAMING, SERVICE_PATH, append, call, create, fresh_id, request, said, update

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails, failure_of
from support.locks import locked, locked_session
from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from support.service import Service

    Lock = Callable[[str], AbstractContextManager[None]]

MIB = 1024 * 1024
MALFORMED = {
    "a tag of no wire type": b"\xff\xff\xff\xff",
    "a length beyond the end": b"\x0a\x05s",
    "a group that never ends": b"\x0b",
    "no UTF-8": b"\x0a\x02\xc3\x28",
    "half a surrogate pair": b"\x0a\x03\xed\xa0\x80",
    "zeros": b"\0" * 8,
}


def _raw(service: Service, method: str) -> Callable[[bytes], Awaitable[bytes]]:
    """Return a method that takes and returns bytes."""
    channel: Any = service.channel
    call_bytes: Callable[[bytes], Awaitable[bytes]] = channel.unary_unary(f"{SERVICE_PATH}/{method}")
    return call_bytes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [pytest.param(data, id=what) for what, data in MALFORMED.items()])
async def test_bytes_that_are_no_message(shared: Service, method: str, data: bytes) -> None:
    """Bytes that are not a message are INVALID_ARGUMENT, MALFORMED_REQUEST, not gRPC's UNKNOWN."""
    with fails("INVALID_ARGUMENT", "MALFORMED_REQUEST") as failure:
        await _raw(shared, method)(data)
    assert failure.violations == {}
    assert failure.retry_seconds is None


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_over_the_limit(shared: Service, method: str) -> None:
    """More than 4 MiB are INVALID_ARGUMENT, REQUEST_TOO_LARGE, not gRPC's RESOURCE_EXHAUSTED."""
    with fails("INVALID_ARGUMENT", "REQUEST_TOO_LARGE") as failure:
        await _raw(shared, method)(b"\x0a" + b"x" * 4 * MIB)
    assert failure.metadata == {"max_bytes": str(4 * MIB)}


async def test_a_request_at_the_limit_is_read(shared: Service) -> None:
    """A request of exactly 4 MiB is read, and checked by the limits of its fields."""
    payload = b"x" * (MIB - 100)
    batch = request("AppendMessages", "s", messages=[mpb.Message(role=mpb.ROLE_USER, payload=payload)] * 4)
    batch.messages[0].payload += b"x" * (4 * MIB - batch.ByteSize())
    assert batch.ByteSize() == 4 * MIB
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await shared.stub.AppendMessages(batch)
    assert list(failure.violations) == ["messages"]


async def test_an_empty_request_is_a_message(shared: Service) -> None:
    """An empty request is a valid message with default values."""
    created = pb.CreateSessionResponse.FromString(await _raw(shared, "CreateSession")(b""))
    assert created.created
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _raw(shared, "GetSession")(b"")
    assert failure.violations == {"session_id": "is required"}


async def test_an_unknown_method(shared: Service) -> None:
    """A method that does not exist is UNIMPLEMENTED."""
    with pytest.raises(grpc.RpcError) as caught:
        await _raw(shared, "NoSuchMethod")(b"")
    assert failure_of(caught.value).code is grpc.StatusCode.UNIMPLEMENTED


async def test_unknown_fields_are_ignored(shared: Service) -> None:
    """The server ignores unknown fields, which a newer client may send."""
    session_id = fresh_id()
    data = request("CreateSession", session_id).SerializeToString() + b"\xfa\xff\xff\xff\x0f\x01x"
    assert pb.CreateSessionResponse.FromString(await _raw(shared, "CreateSession")(data)).created


@pytest.mark.parametrize(
    "worst",
    [
        pb.UpdateSessionRequest(update_mask={"paths": ["x" * 1_000] * 4_000}),
        pb.AppendMessagesRequest(
            session_id="s" * 257,
            user_id="\0" * 300,
            messages=[mpb.Message(parts=[{"media": {}}], tool_calls=[{}] * 129, pinned=True)] * 500,
        ),
        pb.AppendMessagesRequest(messages=[mpb.Message(usage={}, send_time=Timestamp(seconds=2**62))] * 500),
        pb.ListSessionsRequest(labels={"é\0" * 100 + str(i): "\0" * 300 for i in range(100)}, page_size=-1),
    ],
    ids=["mask", "batch", "times", "labels"],
)
async def test_no_more_than_ten_violations_are_named(shared: Service, worst: Any) -> None:
    """An answer names ten violations at most, so that it fits gRPC's metadata."""
    method = type(worst).__name__.removesuffix("Request")
    request_id = (("x-request-id", "r" * 128),)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await getattr(shared.stub, method)(worst, metadata=request_id)
    assert 1 <= len(failure.violations) <= 10
    field, description = next(iter(failure.violations.items()))
    assert failure.message.startswith(f"{field}: {description}")


@pytest.mark.parametrize("method", NAMING)
async def test_no_such_session(shared: Service, method: str) -> None:
    """A missing session is NOT_FOUND, SESSION_NOT_FOUND."""
    session_id = "%" * 224 + fresh_id()
    with fails("NOT_FOUND", "SESSION_NOT_FOUND") as failure:
        await call(shared, method, session_id)
    assert failure.metadata == {"session_id": session_id}


@pytest.mark.parametrize("key", [{"sequence": 2}, {"sequence": None, "message_id": "m"}])
async def test_no_such_message(shared: Service, key: dict[str, Any]) -> None:
    """A message that the session does not have is NOT_FOUND, MESSAGE_NOT_FOUND."""
    session_id = fresh_id()
    await append(shared, session_id, said(), new_session=spb.SessionFields())
    with fails("NOT_FOUND", "MESSAGE_NOT_FOUND") as failure:
        await call(shared, "GetMessage", session_id, **key)
    assert failure.metadata == {"session_id": session_id}


async def test_an_id_that_is_taken(shared: Service) -> None:
    """A taken id of a session or of a message is ALREADY_EXISTS."""
    session_id = fresh_id()
    await append(shared, session_id, said(message_id="m"), new_session=spb.SessionFields())
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await create(shared, session_id)
    assert failure.metadata == {"session_id": session_id}
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await append(shared, session_id, said("other", message_id="m"))
    assert failure.metadata == {"message_id": "m", "index": "0"}


async def test_what_was_expected_is_no_longer_so(shared: Service) -> None:
    """A stale sequence or etag is ABORTED, with the actual value in the metadata."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), new_session=spb.SessionFields())
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await append(shared, session_id, said(), expected_last_sequence=1)
    assert failure.metadata == {"session_id": session_id, "actual_last_sequence": "2"}
    etag = (await update(shared, session_id, title="t")).etag
    for other in ("x", "0-0", f"{etag}0", "-", f"1-{'f' * 40}", f"{'f' * 5_000}-1", "\0", f"{etag}\0", " "):
        with fails("ABORTED", "ETAG_MISMATCH") as failure:
            await update(shared, session_id, title="t2", etag=other)
        assert failure.metadata == {"session_id": session_id, "actual_etag": etag}


async def test_a_session_in_the_wrong_state(shared: Service) -> None:
    """An append to an inactive session and an undelete of a live one are FAILED_PRECONDITION."""
    session_id = fresh_id()
    await create(shared, session_id, status=spb.SESSION_STATUS_ABANDONED)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE") as failure:
        await append(shared, session_id, said())
    assert failure.metadata == {"session_id": session_id, "status": "ABANDONED"}
    with fails("FAILED_PRECONDITION", "SESSION_NOT_DELETED") as failure:
        await call(shared, "UndeleteSession", session_id)
    assert failure.metadata == {"session_id": session_id}


async def test_no_connection_is_free(serve: Callable[..., Awaitable[Service]], database_url: str) -> None:
    """When the pool is exhausted, the call is RESOURCE_EXHAUSTED and says when to retry."""
    service = await serve(database_url, pool_size=1, pool_timeout_seconds=0.1)
    await create(service)
    with locked_session(database_url):
        waiting = service.stub.AppendMessage(request("AppendMessage", "s"))
        with fails("RESOURCE_EXHAUSTED", "POOL_EXHAUSTED") as failure:
            for _ in range(10_000):  # until the append has the connection
                await call(service, "GetSession", "s")
        assert failure.retry_seconds == 1.0
    assert (await waiting).last_sequence == 1


@pytest.mark.parametrize(
    ("method", "lock"),
    [
        ("AppendMessage", locked_session),
        ("AppendMessages", locked),
        ("UpdateSession", locked_session),
        ("DeleteSession", locked_session),
        ("GetMessage", locked),
        ("GetHistory", locked),
        ("ListMessages", locked),
    ],
)
async def test_the_deadline_passes(
    serve: Callable[..., Awaitable[Service]], database_url: str, method: str, lock: Lock
) -> None:
    """A call that waits beyond its deadline is DEADLINE_EXCEEDED."""
    service = await serve(database_url, default_deadline_seconds=0.1)
    await service.stub.CreateSession(request("CreateSession", "s"), timeout=PATIENCE_SECONDS)
    with lock(database_url), fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED") as failure:
        await call(service, method, "s")
    assert failure.metadata == {}


@pytest.mark.parametrize("method", METHODS)
async def test_no_database_answers(serve: Callable[..., Awaitable[Service]], method: str) -> None:
    """Without a database every call is UNAVAILABLE, with RetryInfo and no text of the driver."""
    service = await serve("postgresql://localhost:1/none", serving=False)
    with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE") as failure:
        await call(service, method, "s", "u")
    assert failure.message == "the database is not available"
    assert failure.retry_seconds == 1.0
