"""The key of a client is in no repr, no log line, no error and no pickle."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sessionhistory import AsyncSessionHistoryClient, SessionHistoryClient, errors
from sessionhistory._transport.keys import header

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]
    Serve = Callable[..., Awaitable[Service]]

# In two parts, because the traces below quote the lines of this file.
_SECRET = "shk_" + "zq-s3cr3t-zq"
_IN_NO_TRACE = "zq-s3cr3t"


def _trace(error: BaseException) -> str:
    """Return an error with all its causes, and the variables of each frame below this file's."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


class Given:
    """A function that returns the key, and whose repr does not have it."""

    def __call__(self) -> str:
        """Return the key."""
        return _SECRET


async def _stream(client: Client, session_id: str) -> None:
    async with client.append_message_stream(session_id):
        pass


def _key(*, returned: bool) -> str | Given:
    return Given() if returned else _SECRET


@pytest.mark.parametrize("returned", [False, True])
@pytest.mark.parametrize("method", ["get_session", "get_history", "append_message_stream"])
async def test_no_error_shows_the_key(
    serve: Serve,
    database_url: str,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    *,
    returned: bool,
    method: str,
) -> None:
    """Tools that report errors show the variables of each frame; the logs are complete at any level."""
    caplog.set_level(logging.DEBUG)
    service = await serve(database_url, auth=("keys",))
    client = connect(service.address, key=_key(returned=returned))
    call = partial(_stream, client) if method == "append_message_stream" else getattr(client, method)
    with pytest.raises(errors.CredentialsInvalidError) as refused:
        await asyncio.gather(*(call("s") for _ in range(3)))
    shown = f"{_trace(refused.value)}{refused.value!r}{vars(refused.value)}{caplog.text}"
    assert "CREDENTIALS_INVALID" in shown
    assert _IN_NO_TRACE not in shown


@pytest.mark.parametrize("kind", [AsyncSessionHistoryClient, SessionHistoryClient])
def test_no_repr_shows_the_key(kind: type[SessionHistoryClient]) -> None:
    """Neither of the client, nor of the objects that it is made of."""
    client = kind("127.0.0.1:1", key=_SECRET)
    transport = client._transport  # noqa: SLF001
    metadata = transport._metadata  # noqa: SLF001
    for found in (client, vars(client), vars(transport), vars(metadata), header(_SECRET)):
        assert _IN_NO_TRACE not in repr(found)


@pytest.mark.parametrize("kind", [AsyncSessionHistoryClient, SessionHistoryClient])
def test_a_client_cannot_be_pickled(kind: type[SessionHistoryClient]) -> None:
    """So that no pickle contains the key."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(kind("127.0.0.1:1", key=_SECRET))
