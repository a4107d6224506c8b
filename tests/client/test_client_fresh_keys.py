"""A function returns the key of each attempt, and another one when the service refuses the first."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from client_samples import fresh_id
from fake_server import FakeServer, Refusal, info

from sessionhistory import Message, Role, SessionFields, errors
from support.keys import make_key, revoke_key
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]
    Serve = Callable[..., Awaitable[Service]]

_EXPIRED = Refusal(grpc.StatusCode.UNAUTHENTICATED, [info("CREDENTIALS_EXPIRED")])
_ANSWER = Message(role=Role.ASSISTANT, message_id="answer")


class Keys:
    """A function that returns the given keys in turn, and then the last one."""

    def __init__(self, *keys: str) -> None:
        self.left = list(keys)

    def __call__(self) -> str:
        """Return the next key."""
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def _sent(fake: FakeServer) -> list[str | bytes]:
    return [call.metadata["authorization"] for call in fake.calls]


async def test_each_call_asks_for_its_key(connect: Connect, fake: FakeServer) -> None:
    """So that a key can change while the client is open."""
    client = connect(fake.address, key=Keys("first", "second"))
    await client.delete_session("s")
    await client.delete_session("s")
    assert _sent(fake) == ["Bearer first", "Bearer second"]


async def test_an_async_function(serve: Serve, database_url: str, connect_asyncio: Connect) -> None:
    """In asyncio, a function may await its key, for every kind of call."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)

    async def fetch() -> str:
        await asyncio.sleep(0)
        return secret

    client, session_id = connect_asyncio(service.address, key=fetch), fresh_id()
    await client.append_message(session_id, Message(role=Role.USER), new_session=SessionFields())
    async with client.append_message_stream(session_id) as stream:
        await stream.write("hello")
    await asyncio.gather(*(client.get_history(session_id) for _ in range(3)))
    assert [each.content async for each in client.list_messages(session_id)] == [None, "hello"]


async def test_an_async_function_that_hangs(connect_asyncio: Connect, fake: FakeServer) -> None:
    """It takes no longer than its call may."""

    async def hang() -> str:
        return await asyncio.get_running_loop().create_future()

    client = connect_asyncio(fake.address, key=hang, timeout_seconds=0.1)
    with pytest.raises(errors.DeadlineExceededError, match="key: the function has returned none"):
        await client.get_session("s")
    with pytest.raises(errors.DeadlineExceededError, match="key: the function"):
        async with client.append_message_stream("s"):
            pass
    assert not fake.calls


@pytest.mark.filterwarnings("error")
async def test_threads_await_nothing(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """The error names the client that takes an async function."""

    async def fetch() -> str:
        raise NotImplementedError

    client = connect_twin("threads", fake.address, key=fetch)
    with pytest.raises(ValueError, match="only AsyncSessionHistoryClient takes an async function"):
        await client.get_session("s")


class _Unavailable(grpc.RpcError):  # type: ignore[misc] # has no types
    def code(self) -> grpc.StatusCode:
        """Return the code of an error that the client would retry, if the service had sent it."""
        return grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("failure", [KeyError("nowhere"), TimeoutError(), _Unavailable(), ValueError("no")])
async def test_an_error_of_the_function(connect: Connect, fake: FakeServer, failure: Exception) -> None:
    """The call raises it as it is, and retries nothing: the function knows what its errors mean."""
    asked = []

    def fail() -> str:
        asked.append(1)
        raise failure

    client = connect(fake.address, key=fail)
    with pytest.raises(type(failure)):
        await client.get_session("s")
    with pytest.raises(type(failure)):
        async with client.append_message_stream("s"):
            pass
    assert (len(asked), fake.calls) == (2, [])


async def test_a_refused_key_is_replaced_once(connect: Connect, fake: FakeServer) -> None:
    """Also for a call that may not be executed twice: the service executes nothing without a valid key."""
    fake.answers = [_EXPIRED]
    await connect(fake.address, key=Keys("old", "new")).undelete_session("s")
    assert _sent(fake) == ["Bearer old", "Bearer new"]
    fake.answers = [_EXPIRED, _EXPIRED]
    with pytest.raises(errors.CredentialsExpiredError):
        await connect(fake.address, key=Keys("a", "b", "c")).get_session("s")
    assert _sent(fake)[2:] == ["Bearer a", "Bearer b"]


@pytest.mark.parametrize("key", ["same", Keys("same")], ids=["text", "function"])
async def test_the_same_key_is_not_sent_again(connect: Connect, fake: FakeServer, key: Any) -> None:
    """The service would refuse it again."""
    fake.answers = [_EXPIRED]
    with pytest.raises(errors.CredentialsExpiredError):
        await connect(fake.address, key=key).get_session("s")
    assert len(fake.calls) == 1


async def test_calls_that_share_a_request_replace_their_key(
    serve: Serve, database_url: str, connect_asyncio: Connect
) -> None:
    """Each of them asks for itself."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)
    client = connect_asyncio(service.address, key=Keys("old", "old", "old", secret))
    found = await asyncio.gather(*(client.get_history("s") for _ in range(3)), return_exceptions=True)
    assert {type(each) for each in found} == {errors.SessionNotFoundError}


async def test_a_stream_outlives_its_key(serve: Serve, database_url: str, connect: Connect) -> None:
    """If the key is revoked meanwhile, the finish sends the whole message with a fresh one."""
    service = await serve(database_url, auth=("keys",))
    (old_id, old), (_, new) = await make_key(service), await make_key(service)
    client, session_id = connect(service.address, key=Keys("wrong", old, new)), fresh_id()
    async with client.append_message_stream(session_id, _ANSWER, new_session=SessionFields()) as stream:
        await stream.write("hello ")
        await _revoked(service, old_id, connect(service.address, key=new), session_id)
        await stream.write("world")
    assert stream.result
    assert (stream.result.message.content, stream.result.message.status) == ("hello world", "complete")


async def test_a_stream_with_one_key(serve: Serve, database_url: str, connect: Connect) -> None:
    """If the key is revoked meanwhile, the stream fails, and the server keeps the part that has arrived."""
    service = await serve(database_url, auth=("keys",))
    (old_id, old), (_, new) = await make_key(service), await make_key(service)
    client, session_id = connect(service.address, key=old), fresh_id()
    stream = await client.append_message_stream(session_id, _ANSWER, new_session=SessionFields()).__aenter__()
    await stream.write("hello ")
    kept = await _revoked(service, old_id, connect(service.address, key=new), session_id)
    with pytest.raises(errors.CredentialsInvalidError):
        await stream.finish()
    assert (kept.content, kept.status) == ("hello ", "interrupted")


async def _revoked(service: Service, key_id: str, other: Client, session_id: str) -> Message:
    """Revoke a key, and return the message that the server has kept of the key's stream."""
    await revoke_key(service, key_id)
    kept: list[Message] = []

    async def is_kept() -> bool:
        with suppress(errors.NotFoundError):
            kept.append(await other.get_message(session_id, message_id="answer"))
        return bool(kept)

    await until(is_kept)
    return kept[0]
