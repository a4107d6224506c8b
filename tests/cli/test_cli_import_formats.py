"""`session-history import` of a small file of each format: what is stored, and what is named as lost."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_import_support import NO_PLACE, report, stored

from sessionhistory_cli.client.importing.chatgpt import chatgpt_conversations
from sessionhistory_cli.client.importing.options import ImportOptions
from sessionhistory_cli.client.importing.shapes import Format
from sessionhistory_cli.json_output import to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from sessionhistory import Message

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]

_FILES = Path(__file__).parent / "imports"
_PATHS = sorted(_FILES.glob("*.json*"))
_EXPECTED = Path(__file__).parent / "imports" / "expected"
_OF_SERVER = ("sequence", "create_time", "token_count")


@pytest.mark.parametrize("path", _PATHS, ids=lambda path: path.name)
async def test_a_file_of_each_format(
    command: Command, tmp_path: Path, client: Client, unique: str, path: Path
) -> None:
    """The import finds out the format, stores all that the contract has, and a second run changes nothing."""
    expected = _expected(path.stem)
    copy = _copy(path, tmp_path, unique)
    found = await report(command, copy, "--user", unique)
    sessions = await _sessions(client, unique)
    assert json.loads(json.dumps(sessions).replace(unique, "ID")) == expected["sessions"]
    assert found["not_stored"] == expected["not_stored"]
    assert found["imported"] == len(sessions)
    again = await report(command, copy, "--user", unique)
    assert (again["stored_messages"], again["imported"], again["completed"]) == (0, 0, 0)
    assert await _sessions(client, unique) == sessions


async def test_the_help_names_each_format(command: Command) -> None:
    """The help has a line for each format that `--format` takes."""
    text = (await command("import", "--help")).output.partition("Options:")[0]
    named = [line.split()[0] for line in text.splitlines() if re.match("  [a-z-]+  ", line)]
    assert sorted(named) == sorted(Format)


def _copy(path: Path, folder: Path, unique: str) -> Path:
    """Return a copy of a file, with ids that no other test has."""
    copy = folder / "file"
    copy.write_text(path.read_text().replace("ID", unique))
    return copy


def _expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_EXPECTED / f"{name}.json").read_text())
    return found


async def _sessions(client: Client, owner: str) -> list[dict[str, Any]]:
    """Return the sessions of an owner, in an order that their messages decide."""
    found = [
        {
            "title": session.title,
            "model": session.model,
            "metadata": session.metadata,
            "labels": session.labels,
            "status": session.status,
            "parent": session.parent and asdict(session.parent),
            "messages": [_shown(message) for message in await stored(client, session.session_id)],
        }
        async for session in client.list_sessions(user_id=owner)
    ]
    return sorted(found, key=json.dumps)


def _shown(message: Message) -> dict[str, Any]:
    """Return the fields of a message that have a value."""
    shown = {name: value for name, value in to_json(message).items() if name not in _OF_SERVER}
    return {name: value for name, value in shown.items() if value not in (None, "", [], False, "complete")}


@pytest.mark.parametrize(
    "name", ["openai-chat", "openai-responses", "anthropic", "sharegpt", "chatgpt", "langchain"]
)
async def test_a_named_format(command: Command, tmp_path: Path, unique: str, name: str) -> None:
    """A format that is named reads the same file."""
    (path,) = (one for one in _PATHS if one.stem == name)
    copy = _copy(path, tmp_path, unique)
    found = await report(command, copy, "--user", unique)
    assert found["imported"] > 0
    again = await report(command, copy, "--user", unique, "--format", name)
    assert (again["imported"], again["skipped"]) == (0, 0)


def _said(role: str, *parts: str, **more: Any) -> dict[str, Any]:
    """Return a message of ChatGPT's export."""
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": parts}, **more}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"mapping": {}}, "mapping: must have at least one message"),
        ({"mapping": {"a": {"message": {}}}}, "mapping[].message.author: is missing"),
        ({"mapping": {"a": {"message": {"author": {}}}}}, "mapping[].message.author.role: is missing"),
        (
            {"mapping": {"a": {"message": {"author": {"role": "user"}, "content": "secret"}}}},
            "mapping[].message.content: must be an object",
        ),
        (
            {
                "mapping": {
                    one: {"parent": other, "message": {"author": {"role": "user"}, "content": {}}}
                    for one, other in (("a", "b"), ("b", "a"))
                }
            },
            "mapping: its messages must form a tree",
        ),
        ({"conversations": []}, "conversations: must have at least one"),
        ({"conversations": [{"value": "secret"}]}, "conversations[0].role: is missing"),
        ({"conversations": [{"from": "secret"}]}, "conversations[0].from: must be one of system, human"),
        ({"conversations": [{"from": "gpt", "value": 1}]}, "conversations[0].value: must be text"),
        (
            {"conversations": [{"from": "gpt", "value": "x" * 2**20}]},
            "conversations[0].value: too large: a message has",
        ),
        ({"object": "response", "output": []}, "input: must have at least one"),
        ({"input": [{"type": "message", "content": 7}]}, "input: must be in the format openai-responses"),
        (
            {"input": [{"role": "user", "content": "x" * 2**20}, {"type": "message"}]},
            "input: must be in the format openai-responses",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x" * 2**20}]}]},
            "messages[0]: too large",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "secret"},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "\ud800", "name": "f"}]},
                ]
            },
            "messages[1]: must be valid Unicode",
        ),
        (
            {"messages": [{"role": "assistant", "refusal": 7}]},
            "messages[0].content: ",
        ),
        (
            {"input": [{"role": "user", "content": "secret \ud800"}]},
            "messages[0]: must be valid Unicode",
        ),
        (
            {"messages": [{"type": "human", "data": {"content": "secret \0"}}]},
            "messages[0]: must not contain a NUL character",
        ),
        (
            {"conversations": [{"from": "gpt", "value": "secret \udfff"}]},
            "conversations[0].value: must be valid Unicode",
        ),
        (
            {"mapping": {"a": {"message": _said("user", "secret \ud800")}}},
            "mapping[].message.content: must be valid Unicode",
        ),
        (
            {
                "mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}, "c": {"message": _said("user", "x")}},
                "current_node": "c",
            },
            "mapping: its messages must form a tree",
        ),
        ({"type": ["secret"], "role": {"a": 1}, "content": ""}, "conversation_id: is missing"),
        (
            {"messages": [{"role": "assistant", "function_call": "secret"}]},
            "messages[0].content: must be as in OpenAI's chat API",
        ),
    ],
)
async def test_what_is_not_in_its_format(
    command: Command, write: Write, unique: str, line: dict[str, Any], reason: str
) -> None:
    """A line that is not in the format that its names promise is skipped; the reason quotes nothing."""
    (skip,) = (await report(command, write(line), "--user", unique))["skips"]
    assert skip["reason"].startswith(reason)
    assert "secret" not in skip["reason"]


async def test_branches_that_grow(command: Command, tmp_path: Path, client: Client, unique: str) -> None:
    """If the branches of an export have grown, a further import stores what is new."""
    (told,) = json.loads((_FILES / "chatgpt.json").read_text().replace("ID", unique))
    path = tmp_path / "file"
    path.write_text(json.dumps(told))
    await report(command, path)
    for parent, name in (("n7", "n11"), ("n10", "n12")):
        told["mapping"][name] = told["mapping"]["n8"] | {"parent": parent}
    told["current_node"] = "n11"
    path.write_text(json.dumps(told))
    found = await report(command, path)
    assert (found["completed"], found["already_there"], found["stored_messages"]) == (2, 1, 2)
    assert [m.content for m in await stored(client, f"{unique}-n9")][-1] == "Weather in Oslo?"


async def test_a_tree_without_the_node_that_it_shows(
    command: Command, tmp_path: Path, client: Client, unique: str
) -> None:
    """Without a current node, the branch with the latest message is the session."""
    (told,) = json.loads((_FILES / "chatgpt.json").read_text().replace("ID", unique))
    del told["current_node"]
    told["mapping"]["n8"]["message"]["create_time"] = 1748779999
    path = tmp_path / "file"
    path.write_text(json.dumps(told))
    assert (await report(command, path))["imported"] == 3
    assert [m.content for m in await stored(client, unique)] == ["Be short.", "Weather in Oslo?"]


async def test_a_text_of_several_parts_for_a_tool(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """What the model says to a tool in several parts are the arguments; a long title is cut, and named."""
    message = _said("assistant", "a cat", "on a mat", recipient="dalle", update_time=1)
    told = {"conversation_id": unique, "title": "t" * 501, "mapping": {"a": {"message": message}}}
    found = await report(command, write(told))
    assert found["not_stored"] == {
        "a title has at most 500 characters: the rest is left out": {"title": 1},
        "the server sets it": {"mapping[].message.update_time": 1},
    }
    (stored_message,) = await stored(client, unique)
    assert [call.arguments for call in stored_message.tool_calls] == ["a cat\non a mat"]


def test_many_branches(unique: str) -> None:
    """The time to read a tree grows as its nodes do, and a fork begins where its branch leaves another."""
    nodes: dict[str, Any] = {"0": {"message": _said("user", "0")}}
    for number in range(1, 30_000):
        nodes[str(number)] = {"parent": str(number - 1), "message": _said("user", "")}
    nodes["b"] = {"parent": "20000", "message": _said("user", "b")}
    nodes["c"] = {"parent": "b", "message": _said("user", "c")}
    nodes["d"] = {"parent": "b", "message": _said("user", "d")}
    value = {"conversation_id": unique, "mapping": nodes, "current_node": "29999"}
    found = chatgpt_conversations(value, ImportOptions())
    assert [(one.session_id, one.forked_from, one.shared) for one in found] == [
        (unique, "", 0),
        (f"{unique}-b", unique, 20_001),
        (f"{unique}-d", f"{unique}-b", 20_002),
    ]


async def test_losses_for_people(command: Command, unique: str) -> None:
    """The output for people names each loss once, with its reason."""
    result = await command("import", _FILES / "openai-fine-tuning.jsonl", "--user", unique)
    line = result.stdout.splitlines()[-1]
    assert line.startswith(f"not stored, because {NO_PLACE}: ")
    assert "messages[].weight (2)" in line
