"""The messages of `session-history history`: readable, complete, and safe for a terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cli_history_support import STYLE, calling, result, show, store, user
from rich.cells import cell_len

from sessionhistory import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
)
from sessionhistory_cli.client.call_pairs import CallPairs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]


async def test_a_message_is_headed_by_all_that_matters(command: Command, client: Client, unique: str) -> None:
    """The heading has sequence, role, name, model, tokens and time, and says if pinned or interrupted."""
    cut_off = Message(
        role=Role.ASSISTANT,
        content="I was about to",
        name="Hal",
        model="gpt-4o",
        token_count=1_234,
        status=MessageStatus.INTERRUPTED,
        pinned=True,
        finish_reason="length",
    )
    await store(client, unique, user(), cut_off)
    text = await show(command, unique)
    assert "\n1  user  1 token · 2025-06-01 12:00:00Z\n  hi\n" in text
    assert (
        "\n2  assistant  INTERRUPTED  pinned  Hal · gpt-4o · 1,234 tokens · finish reason length · stored 20"
        in text
    )


async def test_what_a_message_holds(command: Command, client: Client, unique: str) -> None:
    """Null and empty content look different; parts and payloads are shown with their kind."""
    parts = (
        TextPart("one\ntwo"),
        MediaPart(mime_type="image/png", data=b"x" * 2_000),
        MediaPart(uri="https://example.org/ü?a=b"),
        JsonPart({"ü": [1, None]}),
        ReasoningPart("first\nthen", opaque="x" * 1_000, signature="s"),
        ReasoningPart(opaque="x"),
    )
    await store(
        client,
        unique,
        user(None),
        user(""),
        user(None, parts=parts),
        user(None, payload=b"12345", payload_type="a/b"),
        user(None, payload=b"1", parts=(MediaPart(mime_type="a/b", data=b"1"),)),
        calling(ToolCall(name="f")),
        calling(ToolCall(name="f"), content=""),
    )
    text = await show(command, unique)
    parts_shown = "  [text]\n  one\n  two\n  [image/png, 2,000 bytes]\n  [media, https://example.org/ü?a=b]\n"
    bodies = [part.split("\n", 1)[1].rstrip("\n") for part in re.split(r"\n\d  \w+  ", text)[1:]]
    assert bodies == [
        "  (no content)",
        "  (empty)",
        parts_shown
        + '  [json]\n  {\n    "ü": [\n      1,\n      null\n    ]\n  }\n'
        + "  [reasoning, 1,000 characters opaque]\n  first\n  then\n  [reasoning, 1 character opaque]",
        "  [a/b, 5 bytes]",
        "  [a/b, 1 byte]\n  [payload, 1 byte]",
        "  → f()",
        "  (empty)\n  → f()",
    ]


async def test_results_stand_with_their_calls(command: Command, client: Client, unique: str) -> None:
    """Results stand with their calls by id, or by order without ids; others stand alone.

    Several calls are numbered.
    """
    calls = (ToolCall(name="f", id="a"), ToolCall(name="g", id="b"), ToolCall(name="f", id="c"))
    twins = (ToolCall(name="f", id="same"), ToolCall(name="g", id="same"))
    results = (result("B", "b", "g"), result("A", "a", "other"), result("?", "unknown", "g"), result("C"))
    await store(
        client,
        unique,
        calling(*calls),
        *results,
        calling(*twins),
        result("1", "same"),
        result("2", "same"),
        result("3"),
        result("4", "same"),
        calling(ToolCall(name="h")),
        result("5", f"\x1b{'x' * 28}"),
        result("6", f"{'x' * 31}ab"),
        result("7"),
    )
    text = (await command("messages", unique)).stdout
    assert re.findall(r"^ *\d+  tool.*?(?=  )(?:  other|  g)?", text, re.MULTILINE) == [
        "  2  tool ← [2] g",
        "  3  tool ← [1] f  other",
        "4  tool ← unknown  g",
        "  5  tool ← [3] f",
        "  7  tool ← [1] f",
        "  8  tool ← [2] g",
        "9  tool",
        "  10  tool ← [1] f",
        f"12  tool ← \\x1b{'x' * 28}",
        f"13  tool ← {'x' * 31}…",
        "  14  tool ← h",
    ]
    assert "  → [1] f()\n  → [2] g()\n  → [3] f()\n" in text


async def test_results_that_are_far_from_their_calls(command: Command, client: Client, unique: str) -> None:
    """A result finds its call behind other messages, and a later result of the same call stands beside it."""
    reasoning = Message(role=Role.ASSISTANT, payload=b"r", token_count=1)
    await store(
        client,
        unique,
        calling(ToolCall(name="f", id="a")),
        calling(ToolCall(name="g", id="b")),
        user(),
        reasoning,
        result("pending", "a"),
        result("B", "b"),
        user(),
        result("final", "a"),
        calling(ToolCall(name="h", id="a")),
        calling(ToolCall(name="i")),
        user(),
        result("I"),
        result("again", "a"),
        result("no open call"),
    )
    arguments = ("messages", unique, "--all"), ("history", unique)
    for shown in [await command(*words) for words in arguments]:
        assert re.findall(r"^ *\d+  tool.*?(?=  )", shown.stdout, re.MULTILINE) == [
            "  5  tool ← f",
            "  6  tool ← g",
            "  8  tool ← f",
            "  12  tool ← i",
            "  13  tool ← h",
            "14  tool",
        ]


def test_old_calls_are_forgotten() -> None:
    """The memory for calls has a limit: the calls of the oldest ids are forgotten first."""
    pairs = CallPairs()
    for number in range(20_000):
        pairs.add(calling(ToolCall(name=f"f{number}", id=str(number))))
        pairs.add(calling(ToolCall(name=f"g{number}", id="same")))
    assert pairs.answer(result("x", "0")) is None
    same, latest = pairs.answer(result("x", "same")), pairs.answer(result("x", "19999"))
    assert same
    assert latest
    assert (same.label, latest.label) == ("g19999", "f19999")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a":  1}', '  → f({"a":  1})\n'),
        ("no json", "  → f(no json)\n"),
        ("[1, 2]", "  → f([1, 2])\n"),
        ('{"a": "1\\n2", "b": [1, null]}', "  → f\n      a: \n        1\n        2\n      b: [1, null]\n"),
        (f'{{"ü": "{"x" * 100}"}}', f'  → f\n      ü: "{"x" * 100}"\n'),
        ('{"a": 3, "a": "1\\n2"}', '  → f({"a": 3, "a": "1\\n2"})\n'),
    ],
)
async def test_arguments(command: Command, client: Client, unique: str, arguments: str, shown: str) -> None:
    """Short arguments are shown on the call's line, long and multi-line ones below it; none is cut."""
    await store(client, unique, calling(ToolCall(name="f", arguments=arguments)))
    assert (await show(command, unique)).endswith(shown)


async def test_long_texts_on_a_terminal(command: Command, client: Client, unique: str) -> None:
    """A terminal shows a long text without its middle, and says how to see it; other output is whole."""
    text = "".join(f"{number:04}," for number in range(1_000))
    call = ToolCall(name="f", arguments=json.dumps({"code": text, "more": "\n".join([text] * 2)}))
    await store(client, unique, user(text), calling(call))
    shown = await show(command, unique, columns=80)
    assert shown.count("… 3,000 characters are not shown here; --full shows them …") == 1
    assert "… 3,002 characters are not shown here; --full shows them …" in shown  # including its quotes
    assert "… 8,001 characters are not shown here; --full shows them …" in shown
    assert "0299," in shown
    assert "0301," not in shown
    assert "0900," in shown
    for arguments, columns in ((("--full",), 80), ((), None)):
        whole = re.sub(r"\s", "", await show(command, unique, *arguments, columns=columns))
        assert whole.count(text) == 4
        assert "--fullshows" not in whole


@pytest.mark.parametrize("columns", [80, 120])
async def test_lines_keep_to_the_width(command: Command, client: Client, unique: str, columns: int) -> None:
    """Lines fit the width in any script, however long a word is; no character is lost."""
    texts = ["東京の静かなカフェを" * 30, "word " * 100, "x" * 500, "👩\u200d👩\u200d👧" * 50]
    await store(client, unique, *map(user, texts), user_id="u" * 256, model="m" * 256)
    shown = await show(command, unique, columns=columns)
    assert max(map(cell_len, shown.splitlines())) <= columns
    together = re.sub(r"\s", "", shown)
    for text in texts:
        assert text.replace(" ", "") in together


async def test_hostile_text_plays_no_tricks(command: Command, client: Client, unique: str) -> None:
    """Neither a terminal nor the markup of the library interprets any text of a conversation."""
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\x08[red]a[/red][link=https://x]b[/link] :smile:"
    safe = r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\x08[red]a[/red][link=https://x]b[/link] :smile:"
    call = ToolCall(name=evil, arguments=evil)
    apart = ToolCall(name="f", arguments=json.dumps({evil: "1\n2", "b": evil}, ensure_ascii=False))
    parts = (TextPart(evil), MediaPart(mime_type=evil, uri=evil), JsonPart({evil: 1}), ReasoningPart(evil))
    await store(
        client,
        unique,
        user(evil, name=evil, model=evil, finish_reason=evil, parts=parts, payload=b"1", payload_type=evil),
        calling(call, apart),
        result(evil, name=evil),
        title=evil,
        user_id=evil,
        model=evil,
        labels={"a": evil},
    )
    for columns in (None, 200):
        shown = await command("history", unique, columns=columns)
        text = STYLE.sub("", shown.stdout)
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
        assert re.sub(r"\s", "", text).count(re.sub(r"\s", "", safe)) >= 16
    assert "\x1b" not in (await command("history", unique)).stdout


async def test_tabs_keep_their_columns(command: Command, client: Client, unique: str) -> None:
    """Tabs become spaces on a terminal, and stay tabs elsewhere."""
    await store(client, unique, user("a\tb\n\tc"))
    assert "\n  a\tb\n  \tc\n" in await show(command, unique)
    assert "\n  a       b\n          c\n" in await show(command, unique, columns=80)
