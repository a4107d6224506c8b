"""Invalid arguments of a client and of its calls."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, cast

import pytest

from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionHistoryClient
from sessionhistory.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service import Service

NOBODY = "127.0.0.1:1"


def message_of(**fields: Any) -> Message:
    """Return a message with values that a type checker would refuse."""
    return Message(role=Role.USER, **fields)


@pytest.mark.parametrize("kind", [SessionHistoryClient, AsyncSessionHistoryClient])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"target": ""}, "target"),
        ({"target": 5}, "target"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": math.nan}, "timeout_seconds"),
        ({"timeout_seconds": math.inf}, "timeout_seconds"),
        ({"timeout_seconds": "5"}, "timeout_seconds"),
        ({"metadata": {"Authorization": "x"}}, "'Authorization'"),
        ({"metadata": {"a b": "x"}}, "'a b'"),
        ({"metadata": {"a": b"x"}}, "'a'"),
        ({"metadata": {"a-bin": "x"}}, "'a-bin'"),
    ],
)
def test_a_client(kind: Callable[..., Any], arguments: dict[str, Any], named: str) -> None:
    """An invalid argument of a client raises an error that names the argument."""
    with pytest.raises(ValueError, match=named):
        kind(**arguments)


def test_a_call() -> None:
    """A call's own deadline and the metadata that a function returns are checked too."""
    with SessionHistoryClient(NOBODY) as client, pytest.raises(ValueError, match="timeout_seconds"):
        client.get_session("s", timeout_seconds=0)
    with (
        SessionHistoryClient(NOBODY, metadata=lambda: {"A": "x"}) as client,
        pytest.raises(ValueError, match="'A'"),
    ):
        client.get_session("s")


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ({"role": "user"}, "message: must be a Message, not dict"),
        (message_of(tool_calls=[{"name": "f"}]), "message.tool_calls[0]: must be a ToolCall, not dict"),
        (message_of(tool_calls=None), "message.tool_calls: must be a list or a tuple, not NoneType"),
        (
            message_of(parts=[{"text": "t"}]),
            "message.parts[0]: must be a TextPart, MediaPart, JsonPart or ReasoningPart, not dict",
        ),
        (message_of(usage={"input_tokens": 1}), "message.usage: must be a Usage, not dict"),
        (Message(role=Role.USER, content=cast("str", 5)), "message.content: must be str, not int"),
        (Message(role=Role.USER, token_count=2**31), "message.token_count: is out of the range of the field"),
        (Message(role=Role.USER, token_count=cast("int", "5")), "message.token_count: must be int, not str"),
    ],
)
def test_a_value_of_a_wrong_type(message: Any, rule: str) -> None:
    """The error names the path of the field and the type that it needs."""
    with SessionHistoryClient(NOBODY) as client, pytest.raises(InvalidFieldError) as caught:
        client.append_message("s", message)
    assert str(caught.value) == rule


async def test_another_event_loop(service: Service) -> None:
    """A client that was used in one event loop raises a clear error in another."""
    async with AsyncSessionHistoryClient(service.address) as client:
        assert (await client.list_sessions_page()).sessions == ()

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(client.list_sessions_page())

        await asyncio.to_thread(elsewhere)
