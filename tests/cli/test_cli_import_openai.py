"""`session-history import`: messages in the format of OpenAI's API."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cli_import_support import HELLO, NO_PLACE, conversation, report, spoken, stored

from sessionhistory import MediaPart, ReasoningPart, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]

_URL = "https://example.org/a.png?size=1"


def _image(url: object, **more: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def _text(text: object) -> dict[str, Any]:
    return {"type": "text", "text": text}


async def test_calls_of_functions(command: Command, write: Write, client: Client, unique: str) -> None:
    """Calls in the API's nested format are stored like flat ones."""
    arguments = '{"city":  "Rome"}'
    function = {"name": "weather", "arguments": arguments}
    calls = [{"id": "c1", "type": "function", "function": function}, {"id": "c2", **function}]
    path = write(conversation(unique, {"role": "assistant", "content": None, "tool_calls": calls}))
    found = await report(command, path)
    assert (found["imported"], found["not_stored"]) == (1, {})
    (message,) = await stored(client, unique)
    assert message.tool_calls == tuple(
        ToolCall(id=id_, name="weather", arguments=arguments) for id_ in ("c1", "c2")
    )


async def test_content_of_parts(command: Command, write: Write, client: Client, unique: str) -> None:
    """Texts and images are stored in order; an image within its URL is stored as its bytes."""
    pixels = bytes(range(256)) * 40
    data_url = f"data:image/png;base64,{base64.b64encode(pixels).decode()}"
    content = [_text("Look:\n"), _image(_URL, detail="low"), _image(data_url), _text("")]
    path = write(conversation(unique, HELLO | {"content": content}, HELLO | {"content": []}))
    found = await report(command, path)
    assert (found["imported"], found["not_stored"]) == (
        1,
        {NO_PLACE: {"messages[].content[].image_url.detail": 1}},
    )
    with_parts, without = await stored(client, unique)
    assert (with_parts.content, without.content, without.parts) == (None, None, ())
    assert with_parts.parts == (
        TextPart("Look:\n"),
        MediaPart(uri=_URL),
        MediaPart(mime_type="image/png", data=pixels),
        TextPart(""),
    )
    assert (await report(command, path))["already_there"] == 1


async def test_reasoning(command: Command, write: Write, client: Client, unique: str) -> None:
    """Reasoning becomes a part before those of the content, and is not reported as unknown."""
    answer = {"role": "assistant", "content": "4", "reasoning_content": "2 + 2\n"}
    path = write(
        conversation(
            unique,
            answer,
            answer | {"content": [_text("four")]},
            answer | {"reasoning_content": ""},
            answer | {"reasoning_content": None},
        )
    )
    assert (await report(command, path))["not_stored"] == {}
    messages = await stored(client, unique)
    thought = ReasoningPart("2 + 2\n")
    assert [message.parts for message in messages] == [(thought,), (thought, TextPart("four")), (), ()]
    assert [message.content for message in messages] == ["4", None, "4", "4"]
    assert (await report(command, path))["already_there"] == 1


async def test_parts_count_for_the_size_of_a_batch(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Large parts, and many small ones, are stored in as many batches as they need."""
    large = [HELLO | {"content": [_text(message["content"])]} for message in spoken(4, characters=1_040_000)]
    thoughts = [HELLO | {"reasoning_content": text["content"]} for text in spoken(4, characters=1_040_000)]
    many = [HELLO | {"content": [_text("a word and another")] * 256}] * 600
    path = write(conversation(unique, *large, *thoughts, *many))
    assert (await report(command, path))["stored_messages"] == 608
    assert len(await stored(client, unique)) == 608


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": ["text"]}, "content[0]: must be an object"),
        ({"content": [_text("a"), {"text": "b"}]}, "content[1].type: is missing"),
        ({"content": [_text(1)]}, "content[0].text: must be text"),
        ({"content": [{"type": "image_url"}]}, "content[0].image_url: is missing"),
        ({"content": [{"type": "image_url", "image_url": _URL}]}, "content[0].image_url: must be an object"),
        ({"content": [_image(None)]}, "content[0].image_url.url: is missing"),
        ({"content": [_image("data:image/png;base64,*")]}, "content[0].image_url.url: must be in base64"),
        ({"content": [_text("x" * 2**20)]}, "content: too large: a message has at most"),
        ({"reasoning_content": ["x"]}, "reasoning_content: must be text"),
        ({"content": 7}, "content: must be text or a list of parts"),
        ({"tool_calls": [{"type": "custom", "custom": {}}]}, "content: must be as in OpenAI's chat API"),
        ({"tool_calls": [{"function": {}}]}, "tool_calls[0].function.name: is missing"),
        ({"tool_calls": [{"function": "f"}]}, "tool_calls[0].function: must be an object"),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            "tool_calls[0].function.arguments: must be text",
        ),
    ],
)
async def test_what_has_no_place(
    command: Command, write: Write, client: Client, unique: str, message: dict[str, Any], reason: str
) -> None:
    """A line with a field that cannot be stored is skipped as a whole, and the reason names the field."""
    (skip,) = (await report(command, write(conversation(unique, HELLO | message))))["skips"]
    assert skip["reason"].startswith(f"messages[0].{reason}")
    assert [session async for session in client.list_sessions(labels={"source": unique})] == []
