"""No log, no error and no variable of a frame shows the key of a client, however a call ends."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from client_samples import fresh_id

from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionFields, SessionHistoryClient
from support.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_OWN = frozenset({__file__})
_NOBODY = "127.0.0.1:1"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException) -> str:
    """Return all that a program that reports errors can show: texts, and the variables of each frame."""
    said = "".join(traceback.format_exception(error))
    for each in _chain(error):
        said += f"{each!r} {each.args!r} {vars(each)!r}"
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename not in _OWN:  # the test itself knows the key
                said += repr(frame.f_locals)
        if isinstance(each, grpc.RpcError):
            said += f"{each.details()} {each.debug_error_string()} {each.trailing_metadata()}"  # type: ignore[attr-defined] # a call
    return said


async def _fail(address: str, key: Any, *, call: Callable[..., Awaitable[Any]]) -> str:
    """Make a call that must fail; return all that can be shown of its error."""
    async with AsyncSessionHistoryClient(address, key=key, timeout_seconds=1) as client:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - any error must keep the secret
            await call(client)
    return _said(caught.value)


def _stream_in_thread(client: SessionHistoryClient) -> None:
    with client.append_message_stream("s", Message(role=Role.ASSISTANT)) as stream:
        stream.write("hello")


def _fail_in_thread(address: str, key: Any) -> str:
    with SessionHistoryClient(address, key=key, timeout_seconds=1) as client:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            client.get_session("s")
        with pytest.raises(Exception) as streamed:  # noqa: PT011
            _stream_in_thread(client)
    return _said(caught.value) + _said(streamed.value)


async def _get(client: AsyncSessionHistoryClient) -> None:
    await client.get_session("s")


async def _get_together(client: AsyncSessionHistoryClient) -> None:
    await asyncio.gather(*[client.get_history("s") for _ in range(4)])


async def _stream(client: AsyncSessionHistoryClient) -> None:
    async with client.append_message_stream("s", Message(role=Role.ASSISTANT)) as stream:
        await stream.write("hello")


async def _list(client: AsyncSessionHistoryClient) -> None:
    async for _ in client.list_messages("s"):
        pass


async def _change_keys(client: AsyncSessionHistoryClient) -> None:
    await client.revoke_api_key("A" * 16)


@pytest.mark.parametrize("kind", ["valid", "wrong", "broken"])
async def test_no_error_shows_a_key(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A key that the server accepts, one that it refuses, and one that no header can have."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service, scopes=("read",))
    wrong = f"{secret[:-1]}{'0' if secret[-1] != '0' else '1'}"
    sent = {"valid": secret, "wrong": wrong, "broken": f"{secret}\n"}[kind]
    caplog.set_level(logging.DEBUG)
    logging.getLogger("grpc").setLevel(logging.DEBUG)
    said = ""
    for address in (service.address, _NOBODY):
        for call in (_get, _get_together, _stream, _list, _change_keys):
            said += await _fail(address, lambda: sent, call=call)
        said += await asyncio.to_thread(_fail_in_thread, address, lambda: sent)
    assert secret[21:60] not in said
    assert secret[21:60] not in caplog.text


async def test_no_log_shows_a_key_that_works(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At the level debug, for each kind of call."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)
    caplog.set_level(logging.DEBUG)
    async with AsyncSessionHistoryClient(service.address, key=secret) as client:
        session_id = fresh_id()
        await client.append_message(session_id, Message(role=Role.USER), new_session=SessionFields())
        async with client.append_message_stream(session_id, Message(role=Role.ASSISTANT)) as stream:
            await stream.write("hello")
        made = await client.create_api_key(["read"])
    assert secret[21:] not in caplog.text + repr(made)
    assert made.secret[21:] not in caplog.text + repr(made)
