"""Short functions that build a conversation, store it, and read its window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.service import Service

NONE = hpb.HISTORY_CUT_NONE
MAX_MESSAGES = hpb.HISTORY_CUT_MAX_MESSAGES
TOKEN_BUDGET = hpb.HISTORY_CUT_TOKEN_BUDGET
RESPONSE_SIZE = hpb.HISTORY_CUT_RESPONSE_SIZE
MAX_TURNS = hpb.HISTORY_CUT_MAX_TURNS

KEEP = hpb.UNANSWERED_CALLS_KEEP
OMIT = hpb.UNANSWERED_CALLS_OMIT

_ROLES = {"U": mpb.ROLE_USER, "A": mpb.ROLE_ASSISTANT, "S": mpb.ROLE_SYSTEM, "T": mpb.ROLE_TOOL}
_WORD = re.compile(r"(?P<kind>[UASTRP])(?: (?P<answers>\w+))?(?P<calls>\[(?P<ids>[^]]*)\])?")


def user(tokens: int | None = None, **fields: Any) -> mpb.Message:
    """Return a user message with this many tokens."""
    return mpb.Message(role=mpb.ROLE_USER, token_count=tokens, **fields)


def assistant(tokens: int | None = None, **fields: Any) -> mpb.Message:
    """Return a model message with this many tokens."""
    return mpb.Message(role=mpb.ROLE_ASSISTANT, token_count=tokens, **fields)


def pinned(tokens: int | None = None, **fields: Any) -> mpb.Message:
    """Return a pinned message with this many tokens."""
    return mpb.Message(role=mpb.ROLE_SYSTEM, token_count=tokens, pinned=True, **fields)


def calls(*ids: str, role: mpb.Role = mpb.ROLE_ASSISTANT, tokens: int = 1) -> mpb.Message:
    """Return a message that calls a tool once for each id."""
    made = [mpb.ToolCall(id=call_id, name="look_up", arguments="{}") for call_id in ids]
    return mpb.Message(role=role, tool_calls=made, token_count=tokens)


def result(call_id: str = "", tokens: int = 1) -> mpb.Message:
    """Return the result of a call."""
    return mpb.Message(role=mpb.ROLE_TOOL, tool_call_id=call_id, content="found", token_count=tokens)


def reasoning(tokens: int = 1) -> mpb.Message:
    """Return a reasoning item: a model message with a payload only."""
    return mpb.Message(role=mpb.ROLE_ASSISTANT, payload=b"gAAAA", token_count=tokens)


def told(text: str) -> list[mpb.Message]:
    """Return the messages that a text describes, of one token each, as in "U, A[a b], T a, T b, A".

    U: user, A: model, S: system, P: pinned, R: a reasoning item, T: a result, with the id of its call or
    without one. In brackets are the ids of a message's calls; a dot is a call without an id.
    """
    return [_told(word) for word in text.split(", ")]


def _told(word: str) -> mpb.Message:
    said = _WORD.fullmatch(word)
    assert said, word
    if word in ("P", "R"):
        return pinned(1) if word == "P" else reasoning()
    ids = (said["ids"] or "").split()
    message = calls(*("" if call_id == "." else call_id for call_id in ids), role=_ROLES[said["kind"]])
    message.tool_call_id = said["answers"] or ""
    return message


async def store(service: Service, *messages: mpb.Message, user_id: str = "") -> None:
    """Store messages one by one in the session "s", which is created if it is missing."""
    for message in messages:
        await service.stub.AppendMessage(
            pb.AppendMessageRequest(
                session_id="s", user_id=user_id, message=message, new_session=spb.SessionFields()
            )
        )


async def window(service: Service, session_id: str = "s", /, **limits: Any) -> hpb.History:
    """Read the window of a session."""
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id=session_id, **limits))
    history: hpb.History = response.history
    return history


async def pages(service: Service, session_id: str = "s", /, **limits: Any) -> AsyncIterator[hpb.History]:
    """Read windows back to the beginning of a session. Each must end before the one that was read before."""
    page = await window(service, session_id, **limits)
    before = page.last_sequence + 1
    while True:
        yield page
        end = end_of_run(page)
        if end is None:
            break
        assert end < before
        before = end
        page = await window(service, session_id, **limits | {"before_sequence": end})


def sequences(history: hpb.History) -> list[int]:
    """Return the sequences of a window's messages."""
    return [message.sequence for message in history.messages]


def end_of_run(history: hpb.History) -> int | None:
    """Return where the window before this one ends; ``None`` if the window does not tell."""
    return history.next_before_sequence if history.HasField("next_before_sequence") else None


async def compact(
    service: Service,
    through: int,
    tokens: int | None = 1,
    /,
    content: str = "in short",
    message: dict[str, Any] | None = None,
    **fields: Any,
) -> pb.CompactHistoryResponse:
    """Store a summary with this many tokens in the session "s"."""
    made = mpb.Message(content=content, token_count=tokens, **message or {})
    response: pb.CompactHistoryResponse = await service.stub.CompactHistory(
        pb.CompactHistoryRequest(**{"session_id": "s", "through_sequence": through, "message": made} | fields)
    )
    return response
