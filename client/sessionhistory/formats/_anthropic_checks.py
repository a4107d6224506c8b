"""Check a request against the rules of Anthropic's Messages API."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionhistory.formats._anthropic_rules import violation
from sessionhistory.formats._content import Json, loaded, objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.formats._violations import Violation

MOST_MESSAGES: Final = 100_000
MOST_BREAKPOINTS: Final = 4
CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
THINKING: Final = ("thinking", "redacted_thinking")

_ROLES: Final = ("user", "assistant", "system")
_OF_MODEL: Final = ("tool_use", "server_tool_use", *THINKING)
_OF_USER: Final = ("tool_result", "image", "document", "search_result", "container_upload")
_DOCUMENT_TYPES: Final = {"base64": "application/pdf", "text": "text/plain"}


class _Turn(NamedTuple):
    """A message of a request: its place, its role, and its content as blocks."""

    path: str
    role: str
    blocks: list[Json]

    def places(self) -> Iterator[tuple[str, Json]]:
        """Yield each block with its place."""
        return ((f"{self.path}.content[{index}]", block) for index, block in enumerate(self.blocks))

    def of_type(self, kind: str) -> Iterator[tuple[str, Json]]:
        """Yield the blocks of a type, each with its place."""
        return ((path, block) for path, block in self.places() if block.get("type") == kind)


def violations(request: Json | str | bytes, *, prefill: bool = False) -> list[Violation]:
    """Return the rules of the Messages API that a request breaks.

    Args:
        request: The body of the request, or the part of it that ``to_request`` makes.
        prefill: Whether the model continues a last message of its own. Models from Claude 4.6 on refuse that.
    """
    told = loaded(request)
    turns = [_turn(index, message) for index, message in enumerate(objects(told.get("messages")))]
    found = [*_conversation(turns), *_system(told.get("system")), *_end(turns, prefill=prefill)]
    found += (
        one
        for turn in turns
        for path, block in turn.places()
        for one in block_violations(path, turn.role, block)
    )
    found += [*_calls(turns), *_cache(told, turns)]
    if (told.get("thinking") or {}).get("type") == "enabled":
        found += _thinking_first(turns)
    return found


def blocks_of(content: object) -> list[Json]:
    """Return content as blocks: a text is one block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def is_paused(block: Json) -> bool:
    """Return whether the model goes on behind a block: the API's own tool has run, or is to run."""
    kind = str(block.get("type"))
    return kind == "server_tool_use" or (kind.endswith("_tool_result") and kind != "tool_result")


def _turn(index: int, message: Json) -> _Turn:
    return _Turn(f"messages[{index}]", str(message.get("role")), blocks_of(message.get("content")))


def _conversation(turns: list[_Turn]) -> Iterator[Violation]:
    """Check the number of messages, and the order of their roles."""
    if not turns:
        yield violation("messages-present", "messages")
        return
    if len(turns) > MOST_MESSAGES:
        yield violation("message-limit", "messages")
    if turns[0].role != "user":
        yield violation("first-is-user", turns[0].path)
    yield from _roles(turns)


def _roles(turns: list[_Turn]) -> Iterator[Violation]:
    """Check each role, that it has content, and the role behind it."""
    for turn in turns:
        if turn.role not in _ROLES:
            yield violation("known-role", turn.path)
        if not turn.blocks and not (turn is turns[-1] and turn.role == "assistant"):
            yield violation("content-present", turn.path)
    for before, turn in pairwise(turns):
        if before.role == turn.role:
            yield violation("alternating-roles", turn.path)
        elif turn.role == "system" and before.role != "user" and not is_paused((before.blocks or [{}])[-1]):
            yield violation("system-place", turn.path)
        elif before.role == "system" and turn.role != "assistant":
            yield violation("system-place", before.path)


def _system(system: object) -> Iterator[Violation]:
    """Check the system prompt."""
    for index, block in enumerate(blocks_of(system)):
        path = f"system[{index}]"
        if block.get("type") == "text":
            yield from _text(path, block)
        else:
            yield violation("system-text", path)


def _end(turns: list[_Turn], *, prefill: bool) -> Iterator[Violation]:
    """Check the last message, and the last block of each message of the model."""
    for turn in turns:
        if turn.role == "assistant" and turn.blocks and turn.blocks[-1].get("type") in THINKING:
            yield violation("thinking-not-last", f"{turn.path}.content[{len(turn.blocks) - 1}]")
    if not turns or turns[-1].role != "assistant":
        return
    last = turns[-1].blocks[-1] if turns[-1].blocks else {}
    if not prefill and not is_paused(last):
        yield violation("no-prefill", turns[-1].path)
    text = str(last.get("text", ""))
    if last.get("type") == "text" and text != text.rstrip():
        yield violation("no-trailing-space", turns[-1].path)


def block_violations(path: str, role: str, block: Json) -> Iterator[Violation]:
    """Yield the rules that a block of a message breaks, apart from those on other blocks."""
    kind = block.get("type")
    if (kind in _OF_MODEL and role != "assistant") or (kind in _OF_USER and role != "user"):
        yield violation("block-role", path)
    if kind == "text":
        yield from _text(path, block)
    elif kind == "tool_use":
        yield from _call(path, block)
    elif kind == "tool_result":
        yield from _result(path, block)
    elif kind in ("image", "document"):
        yield from _medium(path, block)
    elif kind in THINKING and not block.get("signature" if kind == "thinking" else "data"):
        yield violation("thinking-signed", path)


def _text(path: str, block: Json) -> Iterator[Violation]:
    text = block.get("text")
    if not isinstance(text, str) or not text:
        yield violation("text-present", path)
    elif not text.strip():
        yield violation("text-not-blank", path)


def _call(path: str, block: Json) -> Iterator[Violation]:
    if not CALL_ID.fullmatch(str(block.get("id", ""))):
        yield violation("call-id", f"{path}.id")
    if not NAME.fullmatch(str(block.get("name", ""))):
        yield violation("call-name", f"{path}.name")
    if not isinstance(block.get("input"), dict):
        yield violation("call-input", f"{path}.input")


def _result(path: str, block: Json) -> Iterator[Violation]:
    content = block.get("content")
    nested = blocks_of(content) if isinstance(content, list) else []
    for index, one in enumerate(nested):
        yield from block_violations(f"{path}.content[{index}]", "user", one)
    all_text = bool(content) and all(one.get("type") == "text" for one in nested)
    if block.get("is_error") and not all_text:
        yield violation("error-result", path)


def _medium(path: str, block: Json) -> Iterator[Violation]:
    """Check the source of an image or a document."""
    source: Any = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    held = {"base64": "data", "text": "data", "url": "url", "file": "file_id", "content": "content"}.get(
        str(kind)
    )
    if held is None or not source.get(held):
        yield violation("source-present", f"{path}.source")
        return
    media_type = source.get("media_type")
    if block["type"] == "image" and kind == "base64" and media_type not in IMAGE_TYPES:
        yield violation("image-type", f"{path}.source")
    if block["type"] == "document" and media_type != _DOCUMENT_TYPES.get(str(kind)):
        yield violation("document-type", f"{path}.source")


def _calls(turns: list[_Turn]) -> Iterator[Violation]:
    """Check that each call has its own id, and exactly one result, directly behind its message."""
    seen: set[str] = set()
    nothing = _Turn("", "", [])
    for before, turn, after in zip([nothing, *turns], turns, [*turns[1:], nothing], strict=False):
        results = {block.get("tool_use_id") for _, block in after.of_type("tool_result")}
        for path, block in turn.of_type("tool_use"):
            call_id = str(block.get("id"))
            if call_id in seen:
                yield violation("unique-call-id", f"{path}.id")
            seen.add(call_id)
            if call_id not in results:
                yield violation("call-answered", path)
        yield from _results(before, turn)
        yield from _order(turn)


def _results(before: _Turn, turn: _Turn) -> Iterator[Violation]:
    """Check that each result of a message belongs to a call of the message before it."""
    open_ids = {block.get("id") for _, block in before.of_type("tool_use")}
    answered = set()
    for path, block in turn.of_type("tool_result"):
        call_id = block.get("tool_use_id")
        if call_id not in open_ids:
            yield violation("result-of-call", path)
        elif call_id in answered:
            yield violation("one-result", path)
        answered.add(call_id)


def _order(turn: _Turn) -> Iterator[Violation]:
    """Check that results are the first blocks of a message, and calls the last."""
    for (_, before), (path, block) in pairwise(turn.places()):
        if block.get("type") == "tool_result" and before.get("type") != "tool_result":
            yield violation("results-first", path)
        if before.get("type") == "tool_use" and block.get("type") != "tool_use":
            yield violation("calls-last", path)


def _cache(told: Json, turns: list[_Turn]) -> Iterator[Violation]:
    """Check the breakpoints of the prompt cache."""
    places = [(f"system[{index}]", block) for index, block in enumerate(blocks_of(told.get("system")))]
    places += (place for turn in turns for place in turn.places())
    marked = [(path, block) for path, block in places if block.get("cache_control")]
    for path, block in marked:
        if block.get("type") in THINKING or block.get("text") == "":
            yield violation("cache-place", path)
    tools = sum(1 for tool in told.get("tools") or () if tool.get("cache_control"))
    if len(marked) + tools > MOST_BREAKPOINTS:
        yield violation("cache-limit", marked[-1][0] if marked else "tools")


def _thinking_first(turns: list[_Turn]) -> Iterator[Violation]:
    """Check that the last message of the model with calls begins with thinking."""
    calling = [turn for turn in turns if next(turn.of_type("tool_use"), None)]
    if calling and calling[-1].blocks[0].get("type") not in THINKING and _is_open(turns, calling[-1]):
        yield violation("thinking-first", f"{calling[-1].path}.content[0]")


def _is_open(turns: list[_Turn], calling: _Turn) -> bool:
    """Return whether the turn of the model still goes on: only results follow its calls."""
    after = turns[turns.index(calling) + 1 :]
    return len(after) == 1 and all(block.get("type") == "tool_result" for block in after[0].blocks)
