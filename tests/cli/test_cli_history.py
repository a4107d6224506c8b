"""`session-history history`: a context window that reads well, hides nothing, and plays no tricks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from sessionhistory import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    Role,
    Session,
    TextPart,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def user(content: str | None = "hi", **fields: object) -> Message:
    """Return a message of the user, of one token."""
    return Message(role=Role.USER, content=content, token_count=1, send_time=_NOON, **fields)  # type: ignore[arg-type]


def calling(*calls: ToolCall, content: str | None = None) -> Message:
    """Return a message of the model that calls tools."""
    return Message(role=Role.ASSISTANT, content=content, tool_calls=calls, token_count=1, send_time=_NOON)


def result(content: str, call_id: str = "", name: str = "") -> Message:
    """Return the result of a call."""
    return Message(
        role=Role.TOOL, content=content, tool_call_id=call_id, name=name, token_count=1, send_time=_NOON
    )


async def show(command: Command, session_id: str, *arguments: str, columns: int | None = None) -> str:
    """Return what the command shows, without colours."""
    shown = await command("history", session_id, *arguments, columns=columns)
    assert (shown.exit_code, shown.stderr) == (0, "")
    return _STYLE.sub("", shown.stdout)


async def store(client: Client, session_id: str, *messages: Message, **fields: object) -> None:
    """Store messages in a new session."""
    session = Session(session_id=session_id, **fields)  # type: ignore[arg-type]
    await client.append_messages(session_id, messages, create_session=session)


async def test_the_heading(command: Command, client: Client, unique: str) -> None:
    """It says which conversation it is, and how much of it is shown."""
    await store(
        client, unique, user(), user(), user_id="ada", title="Rome\nin May", model="gpt-4o", labels={"a": "b"}
    )
    assert (await show(command, unique)).splitlines()[:5] == [
        unique,
        "Rome in May",
        "user ada · model gpt-4o · labels a=b · active just now",
        "2 of 2 messages, 2 tokens",
        "",
    ]


async def test_what_is_left_out(command: Command, client: Client, unique: str) -> None:
    """How many, why, and the command for the window before; running that shows it, to the first message."""
    await store(
        client, unique, *(user(f"number {number}") for number in range(1, 8)), user_id="ada", title="a"
    )
    text = await show(command, unique, "--user", "ada", "--max-messages", "3")
    assert (
        "3 of 7 messages, 3 tokens\n4 left out: the limit of messages is reached (--max-messages)\n" in text
    )
    before = f"history {unique} --user ada --max-messages 3 --before 5"
    assert f"the window before this one:\n  session-history {before}\n" in text
    assert "⋮  1 to 4 not in this window" in text
    text = await show(command, *before.split()[1:])
    assert re.findall(r"number \d", text) == ["number 2", "number 3", "number 4"]
    assert "4 left out: --before 5; the limit of messages" in text
    assert "⋮  1 not in this window" in text
    assert "⋮  5 to 7 not in this window" in text
    text = await show(command, unique, "--before", "2")
    assert "6 left out: --before 2\n" in text
    assert "the window before" not in text


async def test_why_the_rest_is_left_out(command: Command, client: Client, unique: str) -> None:
    """A budget, pinned messages that are not wanted, and results without their call are told apart."""
    pinned = Message(role=Role.SYSTEM, content="rules", pinned=True, token_count=1)
    call = ToolCall(name="f", id="c")
    await store(client, unique, pinned, user(), calling(call), result("found", "c"), user("thanks"))
    text = await show(command, unique, "--max-messages", "3")
    assert "3 left out: the limit of messages is reached (--max-messages); tool results whose call" in text
    assert re.findall(r"^(?:⋮  )?\d.*?(?:pinned|window|tokens?)", text, re.MULTILINE) == [
        "2 of 5 messages, 2 tokens",
        "1  system  pinned",
        "⋮  2 to 4 not in this window",
        "5  user  1 token",
    ]
    text = await show(command, unique, "--token-budget", "2", "--no-pinned")
    assert "--no-pinned; the next older one does not fit the token budget (--token-budget)" in text
    assert "--token-budget 2 --no-pinned --before" in text
    text = await show(command, unique, "--token-budget", "0")
    assert "0 of 5 messages, 0 tokens\n5 left out: the next older one does not fit the token budget" in text


async def test_a_message_is_headed_by_all_that_matters(command: Command, client: Client, unique: str) -> None:
    """Its place, role, name, model, weight and time, and whether it is pinned or was interrupted."""
    cut_off = Message(
        role=Role.ASSISTANT,
        content="I was about to",
        name="Hal",
        model="gpt-4o",
        token_count=1_234,
        status=MessageStatus.INTERRUPTED,
        pinned=True,
    )
    await store(client, unique, user(), cut_off)
    text = await show(command, unique)
    assert "\n1  user  1 token · 2025-06-01 12:00:00Z\n  hi\n" in text
    assert "\n2  assistant  INTERRUPTED  pinned  Hal · gpt-4o · 1,234 tokens · stored 20" in text


async def test_what_a_message_holds(command: Command, client: Client, unique: str) -> None:
    """No content and an empty one are told apart; parts and payloads are there, each as what it is."""
    parts = (
        TextPart("one\ntwo"),
        MediaPart(mime_type="image/png", data=b"x" * 2_000),
        MediaPart(uri="https://example.org/ü?a=b"),
        JsonPart({"ü": [1, None]}),
    )
    await store(
        client,
        unique,
        user(None),
        user(""),
        user(None, parts=parts),
        user(None, payload=b"12345", payload_type="a/b"),
        calling(ToolCall(name="f")),
        calling(ToolCall(name="f"), content=""),
    )
    text = await show(command, unique)
    parts_shown = "  [text]\n  one\n  two\n  [image/png, 2,000 bytes]\n  [media, https://example.org/ü?a=b]\n"
    bodies = [part.split("\n", 1)[1].rstrip("\n") for part in re.split(r"\n\d  \w+  ", text)[1:]]
    assert bodies == [
        "  (no content)",
        "  (empty)",
        parts_shown + '  [json]\n  {\n    "ü": [\n      1,\n      null\n    ]\n  }',
        "  [a/b, 5 bytes]",
        "  → f()",
        "  (empty)\n  → f()",
    ]


async def test_results_stand_with_their_calls(command: Command, client: Client, unique: str) -> None:
    """By id where a call beside it has another, else in order; numbered where there are several."""
    calls = (ToolCall(name="f", id="a"), ToolCall(name="g", id="b"), ToolCall(name="f", id="c"))
    twins = (ToolCall(name="f", id="same"), ToolCall(name="g", id="same"))
    results = (result("B", "b", "g"), result("A", "a", "other"), result("C", "unknown"))
    await store(
        client,
        unique,
        calling(*calls),
        *results,
        calling(*twins),
        result("1", "same"),
        result("2", "same"),
        result("3"),
        calling(ToolCall(name="h")),
        result("4", "x"),
    )
    text = await show(command, unique)
    assert re.findall(r"^ *\d+  tool.*?(?=  )(?:  other)?", text, re.MULTILINE) == [
        "  2  tool ← [2] g",
        "  3  tool ← [1] f  other",
        "  4  tool ← [3] f",
        "  6  tool ← [1] f",
        "  7  tool ← [2] g",
        "8  tool",
        "  10  tool ← h",
    ]
    assert "  → [1] f()\n  → [2] g()\n  → [3] f()\n" in text


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a":  1}', '  → f({"a":  1})\n'),
        ("no json", "  → f(no json)\n"),
        ("[1, 2]", "  → f([1, 2])\n"),
        ('{"a": "1\\n2", "b": [1, null]}', "  → f\n      a: \n        1\n        2\n      b: [1, null]\n"),
        (f'{{"ü": "{"x" * 100}"}}', f'  → f\n      ü: "{"x" * 100}"\n'),
        ('{"a": "1\\n2", "a": 3}', '  → f({"a": "1\\n2", "a": 3})\n'),
    ],
)
async def test_arguments(command: Command, client: Client, unique: str, arguments: str, shown: str) -> None:
    """Short ones as they were written, long ones and those of several lines apart, none lost."""
    await store(client, unique, calling(ToolCall(name="f", arguments=arguments)))
    assert (await show(command, unique)).endswith(shown)


async def test_long_texts_on_a_terminal(command: Command, client: Client, unique: str) -> None:
    """The middle is left out, with how much it is and how to see it; elsewhere all is shown."""
    text = "".join(f"{number:04}," for number in range(1_000))
    call = ToolCall(name="f", arguments=json.dumps({"code": text, "more": "\n".join([text] * 2)}))
    await store(client, unique, user(text), calling(call))
    shown = await show(command, unique, columns=80)
    assert shown.count("… 3,000 characters are not shown here; --full shows them …") == 1
    assert "… 3,002 characters are not shown here; --full shows them …" in shown  # and its quotes
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
    """Whatever the script, and however long a word is; nothing is lost at the breaks."""
    texts = ["東京の静かなカフェを" * 30, "word " * 100, "x" * 500, "👩\u200d👩\u200d👧" * 50]
    await store(client, unique, *map(user, texts), user_id="u" * 256, model="m" * 256)
    shown = await show(command, unique, columns=columns)
    assert max(map(cell_len, shown.splitlines())) <= columns
    together = re.sub(r"\s", "", shown)
    for text in texts:
        assert text.replace(" ", "") in together


async def test_a_command_to_copy_is_not_broken(command: Command, client: Client, unique: str) -> None:
    """Only the terminal breaks it, which it undoes when it is copied."""
    session_id = unique.ljust(128, "x")
    await store(client, session_id, user(), user())
    shown = await show(command, session_id, "--max-messages", "1", columns=80)
    assert f"\n  session-history history {session_id} --max-messages 1 --before 2\n" in shown


async def test_hostile_text_plays_no_tricks(command: Command, client: Client, unique: str) -> None:
    """Neither a terminal nor the markup of a library obeys what is in a conversation, wherever it is."""
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\x08[red]a[/red][link=https://x]b[/link] :smile:"
    safe = r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\x08[red]a[/red][link=https://x]b[/link] :smile:"
    call = ToolCall(name=evil, arguments=evil)
    apart = ToolCall(name="f", arguments=json.dumps({evil: "1\n2", "b": evil}, ensure_ascii=False))
    parts = (TextPart(evil), MediaPart(mime_type=evil, uri=evil), JsonPart({evil: 1}))
    await store(
        client,
        unique,
        user(evil, name=evil, model=evil, parts=parts, payload=b"1", payload_type=evil),
        calling(call, apart),
        result(evil, name=evil),
        title=evil,
        user_id=evil,
        model=evil,
        labels={"a": evil},
    )
    for columns in (None, 200):
        shown = await command("history", unique, columns=columns)
        text = _STYLE.sub("", shown.stdout)
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
        assert re.sub(r"\s", "", text).count(re.sub(r"\s", "", safe)) >= 14
    assert "\x1b" not in (await command("history", unique)).stdout


async def test_tabs_keep_their_columns(command: Command, client: Client, unique: str) -> None:
    """On a terminal they are spaces; elsewhere they are tabs."""
    await store(client, unique, user("a\tb\n\tc"))
    assert "\n  a\tb\n  \tc\n" in await show(command, unique)
    assert "\n  a       b\n          c\n" in await show(command, unique, columns=80)


async def test_json_has_every_field(command: Command, client: Client, unique: str) -> None:
    """The session and the window, exactly, in names and words of the API."""
    message = Message(
        role=Role.ASSISTANT,
        content="\x1b[31mü\n",
        message_id="m1",
        tool_calls=(ToolCall(name="f", arguments="{}", id="c"),),
        parts=(TextPart("t"), MediaPart(mime_type="a/b", data=b"\xff"), JsonPart({"n": 2**70})),
        payload=b"\x00\xff",
        metadata={"a": [1.5, True]},
        usage=Usage(input_tokens=5),
        token_count=7,
        send_time=_NOON,
    )
    await store(client, unique, message)
    output = (await command("history", unique, "--json")).stdout
    assert output.isascii()
    assert output.rstrip("\n").isprintable()
    found = json.loads(output)
    assert found["session"]["session_id"] == unique
    (shown,) = found["history"].pop("messages")
    assert found["history"] == {
        "total_tokens": 7,
        "omitted_message_count": 0,
        "cut": "none",
        "next_before_sequence": None,
        "last_sequence": 1,
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown.pop("create_time"))
    assert shown == {
        "role": "assistant",
        "content": "\x1b[31mü\n",
        "message_id": "m1",
        "name": "",
        "tool_calls": [{"name": "f", "arguments": "{}", "id": "c"}],
        "tool_call_id": "",
        "parts": [
            {"text": "t"},
            {"mime_type": "a/b", "uri": None, "data": "/w=="},
            {"value": {"n": 2**70}},
        ],
        "payload": "AP8=",
        "payload_type": "",
        "metadata": {"a": [1.5, True]},
        "model": "",
        "provider": "",
        "usage": {
            "input_tokens": 5,
            "output_tokens": None,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
        },
        "token_count": 7,
        "pinned": False,
        "status": "complete",
        "turn_id": "",
        "send_time": "2025-06-01T12:00:00.000000Z",
        "sequence": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-session"], 1, "no session 'no-such-session': it is missing, deleted or another user's"),
        (["no such id"], 2, "session_id: must be 1 to 128 characters"),
        (["x", "--user", ""], 2, "user_id: must not be empty"),
        (["x", "--max-messages", "-1"], 2, "'--max-messages'"),
        (["x", "--max-messages", str(2**40)], 2, "max_messages: is of a type or a size"),
        (["x", "--before", "0"], 2, "'--before'"),
        ([], 2, "'SESSION'"),
    ],
)
async def test_what_cannot_be_shown(command: Command, arguments: list[str], code: int, said: str) -> None:
    """One line says why, and the exit code whether it is the arguments."""
    result = await command("history", *arguments)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, "")
    assert line.startswith("Error: ")
    assert said in line


async def test_another_users_session(command: Command, client: Client, unique: str) -> None:
    """It is not found, as if there were none."""
    await store(client, unique, user(), user_id="ada")
    result = await command("history", unique, "--user", "eve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: no session '{unique}': it is missing, deleted or another user's")
