"""A valid request of each RPC that names a thing, and a way to name another thing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from support.fresh import fresh_id

REQUEST_ID = "the-call-that-is-watched"
"""The request id of a watched call."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message
    from named_fields import NamedField

    Fields = dict[str, Any]

SAID: Fields = {"role": "ROLE_USER", "content": "hello"}
SUMMARY: Fields = {"content": "a summary"}
FAR: Fields = {"seconds": 4_000_000_000}


def _on_session(**fields: Any) -> Callable[[str], Fields]:
    return lambda session_id: {"session_id": session_id} | fields


# By RPC: the fields of a request on a session, or of the header of a stream. The calls of a CallStream are
# requests of other RPCs.
_VALID: dict[str, Callable[[str], Fields]] = {
    "CreateSession": _on_session(),
    "GetSession": _on_session(),
    "UpdateSession": _on_session(session={"title": "changed"}),
    "UpdateState": _on_session(patch='{"changed":true}'),
    "ListSessions": lambda _: {"page_size": 1},
    "EnsureActiveSession": lambda _: {"user_id": fresh_id()},
    "DeleteSession": _on_session(),
    "UndeleteSession": _on_session(),
    "RecountTokens": _on_session(),
    "AppendMessage": _on_session(message=SAID),
    "AppendMessages": _on_session(messages=[SAID]),
    "AppendMessageStream": _on_session(message={"role": "ROLE_ASSISTANT"}),
    "GetMessage": _on_session(sequence=1),
    "GetHistory": _on_session(),
    "ListMessages": _on_session(page_size=20),
    "CompactHistory": _on_session(through_sequence=1, message=SUMMARY),
    "TruncateMessages": _on_session(keep_through_sequence=1),
    "ForkSession": _on_session(),
    "ResetSession": _on_session(),
    "ListApiKeys": lambda _: {"page_size": 1},
    "RotateApiKey": lambda _: {},
    "RevokeApiKey": lambda _: {},
    "RefuseToken": lambda _: {"expire_time": FAR},
    "ListRefusedTokens": lambda _: {"page_size": 1},
}

_ETAG = "63f1a2b3c4d5e-1"

# By RPC: changes of its valid request with which it takes another way through the store.
_OTHER_WAYS: dict[str, tuple[Fields, ...]] = {
    "UpdateSession": ({"etag": _ETAG}, {"update_mask": {"paths": ["*"]}}),
    "UpdateState": ({"expected_state_version": 0},),
    "DeleteSession": ({"purge": True}, {"allow_missing": True}, {"purge": True, "allow_missing": True}),
    "AppendMessage": (
        {"expected_last_sequence": 3},
        {"history": {}},
        {"state_patch": "{}"},
        {"message": SAID | {"pinned": True}},
    ),
    "AppendMessages": (
        {"messages": [SAID, SAID]},
        {"expected_last_sequence": 3},
        {"keep_through_sequence": 1},
        {"state_patch": "{}", "expected_state_version": 0},
        {"state_patch": "{}", "keep_through_sequence": 1},
    ),
    "AppendMessageStream": ({"expected_last_sequence": 3}, {"on_break": "ON_BREAK_DROP"}),
    "GetMessage": ({"message_id": "a"},),
    "GetHistory": ({"max_turns": 1}, {"step_messages": 2}, {"before_sequence": 2}, {"whole_responses": True}),
    "ListMessages": (
        {"order_by": "MESSAGE_ORDER_SEQUENCE_DESC"},
        {"roles": ["ROLE_USER"]},
        {"after_sequence": 1},
    ),
    "CompactHistory": ({"expected_last_sequence": 3}, {"expected_compacted_through_sequence": 0}),
    "TruncateMessages": ({"expected_last_sequence": 3},),
    "ForkSession": ({"through_sequence": 1}, {"through_sequence": 99}, {"allow_existing": True}),
    "ResetSession": ({"keep_messages": True}, {"previous_status": "SESSION_STATUS_ABANDONED"}),
}

_CREATING_WAYS: dict[str, tuple[Fields, ...]] = {
    "AppendMessage": ({"new_session": {}}, {"new_session": {}, "state_patch": "{}"}),
    "AppendMessages": ({"new_session": {}}, {"new_session": {}, "keep_through_sequence": 0}),
    "AppendMessageStream": ({"new_session": {}},),
}

_REST_OF_STREAM: tuple[Fields, ...] = ({"delta": {"text": "hello"}}, {"finish": {}})


def has_valid_request(field: NamedField) -> bool:
    """Return whether there is a valid request for a field."""
    return rpc_of(field) in _VALID


def other_ways(field: NamedField) -> tuple[Fields, ...]:
    """Return changes of the valid request for a field, with which the call takes another way."""
    return _OTHER_WAYS.get(rpc_of(field), ())


def creating_ways(field: NamedField) -> tuple[Fields, ...]:
    """Return changes of the valid request for a field, with which the call creates a missing session."""
    return _CREATING_WAYS.get(rpc_of(field), ())


def naming(field: NamedField, session_id: str, value: str, changes: Fields) -> list[Message]:
    """Return the requests of a valid call on a session, with changes, in which a field has another value."""
    fields = _VALID[rpc_of(field)](session_id) | changes
    first = request_of(field.method, **_wrapped(field, fields))
    part: Any = first
    for name in field.path[:-1]:
        part = getattr(part, name)
        part = part[0] if hasattr(part, "append") else part
    last = field.path[-1]
    setattr(part, last, type(getattr(part, last))(value))
    rest = _REST_OF_STREAM if field.method.name == "AppendMessageStream" else ()
    return [first, *(request_of(field.method, **each) for each in rest)]


def request_of(method: MethodDescriptor, **fields: Any) -> Message:
    """Return a request of a method."""
    return GetMessageClass(method.input_type)(**fields)


def rpc_of(field: NamedField) -> str:
    """Return the RPC whose request a field belongs to: a call of a CallStream is one of another RPC."""
    if field.path[0] != "calls":
        return field.method.name
    return "".join(word.title() for word in field.path[1].split("_"))


def _wrapped(field: NamedField, fields: Fields) -> Fields:
    if field.path[0] == "calls":
        return {"calls": [{field.path[1]: fields, "request_id": REQUEST_ID}]}
    return {"header": fields} if field.path[0] == "header" else fields
