"""Read conversations in the formats of model APIs and of LangChain, by ``sessionhistory.formats``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats import anthropic, gemini, langchain, openai_responses
from sessionhistory.types import SessionFields
from sessionhistory_cli.client.importing.json_fields import BadFieldError, JsonFields
from sessionhistory_cli.client.importing.losses import NO_PLACE, Loss, Losses
from sessionhistory_cli.client.importing.message_size import problem_of
from sessionhistory_cli.client.importing.recordings import (
    BadRecordingError,
    Recording,
    content_id,
    with_ids,
)
from sessionhistory_cli.client.importing.shapes import Format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sessionhistory.types import Message
    from sessionhistory_cli.client.importing.options import ImportOptions

_MODULES: Final[dict[Format, ModuleType]] = {
    Format.OPENAI_RESPONSES: openai_responses,
    Format.ANTHROPIC: anthropic,
    Format.GEMINI: gemini,
    Format.LANGCHAIN: langchain,
}
_OF_CONVERSATION: Final = {
    Format.OPENAI_RESPONSES: ("instructions", "input"),
    Format.ANTHROPIC: ("system", "messages"),
    Format.GEMINI: ("system_instruction", "contents"),
    Format.LANGCHAIN: ("messages",),
}
_MALFORMED: Final = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

_REMOVALS: Final = Loss("messages[] of the type remove", "it removes another message")

# A format may write these in several ways, so their number says nothing.
_COMMON: Final = frozenset(
    {"content", "inputtext", "instructions", "outputtext", "role", "status", "text", "type"}
)


def api_conversation(value: object, found: Format, options: ImportOptions) -> Recording:
    """Return the conversation of a request, or of a response.

    Raises:
        BadRecordingError: the value has not the format, or a message is too large.
    """
    conversation_id = ""
    try:
        fields = JsonFields(value)
        named = fields.optional("conversation_id", str)
        conversation_id = fields.optional("session_id", str) or named or ""
        owner = fields.optional("user_id", str) if options.user_id is None else options.user_id
        session = _session(fields)
        request = {name: fields.any(name) for name in _OF_CONVERSATION[found]}
        answer = {"model": session.model, **_answer(fields)}
        messages, losses = _messages(found, request, answer)
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    session_id = conversation_id or options.session_id or content_id([value], owner or None)
    return Recording(session_id, owner or None, session, messages, losses + fields.losses())


def _session(fields: JsonFields) -> SessionFields:
    metadata = fields.optional("metadata", dict)
    return SessionFields(
        title=fields.optional("title", str) or "",
        model=fields.optional("model", str) or "",
        metadata=metadata or None,
    )


def _messages(
    found: Format, request: dict[str, Any], answer: dict[str, Any]
) -> tuple[tuple[Message, ...], Losses]:
    form = _MODULES[found]
    given = {name: value for name, value in request.items() if value is not None}
    try:
        made: list[Message] = form.from_request(given) if given else []
        losses = _losses(found, given, made)
        if answer.get("output"):
            made += form.from_response(answer)
    except _MALFORMED:
        raise BadFieldError(f"{_OF_CONVERSATION[found][-1]}: must be in the format {found.value}") from None
    if not made:
        raise BadFieldError(f"{_OF_CONVERSATION[found][-1]}: must have at least one")
    for index, message in enumerate(made):
        if problem := problem_of(message):
            raise BadFieldError(f"messages[{index}]: {problem}")
    return with_ids(made), losses


def _answer(fields: JsonFields) -> dict[str, Any]:
    """Return the output of a response, and what the response says about it."""
    if not fields.has_type("output", list):
        return {}
    fields.drop("object")
    names = ("output", "status", "usage", "incomplete_details", "error")
    return {name: fields.any(name) for name in names}


def _losses(found: Format, given: dict[str, Any], made: list[Message]) -> Losses:
    """Count the names of a request that the stored messages do not give back."""
    if found is Format.LANGCHAIN:  # its payloads have all fields
        return +Counter({_REMOVALS: len(given.get("messages") or ()) - len(made)})
    kept = Counter(map(_name, _paths(_MODULES[found].to_request(made))))
    losses: Losses = Counter()
    for path in _paths(given):
        name = _name(path)
        if kept[name]:
            kept[name] -= 1
        elif name not in _COMMON:
            losses[Loss(path, NO_PLACE)] += 1
    return losses


def _name(path: str) -> str:
    """Return the last name of a path. Gemini takes ``inline_data`` and ``inlineData``: they are equal."""
    return path.rpartition(".")[2].replace("_", "").lower()


def _paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of each member that is not empty, without indices."""
    match value:
        case dict():
            for name, inner in value.items():
                if inner not in (None, "", [], {}):
                    below = f"{path}.{name}" if path else name
                    yield below
                    yield from _paths(inner, below)
        case list():
            for inner in value:
                yield from _paths(inner, f"{path}[]")
