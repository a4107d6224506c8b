"""The reference model's states: merge patches of text, token by token, and versions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.reference_rules import require

if TYPE_CHECKING:
    from support.reference_kept import Kept

_TOKEN = re.compile(r'(\s*)("(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+|$)')


class States:
    """The methods for states; a part of ``Reference``."""

    _found: Any
    _touch: Any

    def _UpdateState(self, request: pb.UpdateStateRequest) -> pb.UpdateStateResponse:
        kept = self._found(request)
        require_version(request, kept.shown.state_version)
        self._patch_state(kept, request.patch)
        return pb.UpdateStateResponse(session=kept.shown)

    def _patch_state(self, kept: Kept, patch: str) -> None:
        kept.shown.state = merged(kept.shown.state, patch)
        kept.shown.state_version += 1
        self._touch(kept.shown)


def require_version(request: Any, version: int) -> None:
    """Refuse the request if the state's version is not the expected one."""
    expects = request.HasField("expected_state_version")
    require(not expects or request.expected_state_version == version, "ABORTED", "STATE_VERSION_MISMATCH")


def merged(state: str, patch: str) -> str:
    """Return a state after a patch."""
    whole, tail = _parsed(state or "{}")
    new, _ = _parsed(patch)
    return whole.space + _merge(whole, new).text + tail


class _Json:
    """A JSON value: the space before it, its text, and the members by name if it is an object."""

    def __init__(self, space: str, text: str, members: dict[str, tuple[str, _Json, str]] | None) -> None:
        self.space = space
        self._text = text
        self.members = members

    @property
    def text(self) -> str:
        """The text of the value with all changes."""
        if self.members is None:
            return self._text
        return "{" + ",".join(f"{b}{v.space}{v.text}{a}" for b, v, a in self.members.values()) + "}"


def _merge(target: _Json, patch: _Json) -> _Json:
    """Return the result of RFC 7386's pseudo-code, with the spaces of the original text."""
    if patch.members is None:
        return _Json(target.space, patch.text, None)
    members = dict(target.members or {})
    for name, (before, value, after) in patch.members.items():
        if value.text == "null":
            members.pop(name, None)
        else:
            nothing = (before, _Json(value.space, "", None), after)
            name_before, old, old_after = members.get(name, nothing)
            members[name] = (name_before, _merge(old, value), old_after)
    return _Json(target.space, "", members)


def _parsed(text: str) -> tuple[_Json, str]:
    """Return a value and the text after it."""
    tokens = [(space, token) for space, token in _TOKEN.findall(text)][::-1]
    value = _value(tokens)
    return value, tokens[-1][0]


def _value(tokens: list[tuple[str, str]]) -> _Json:
    space, first = tokens.pop()
    if first == "{":
        return _object(space, tokens)
    text, depth = first, int(first == "[")
    while depth:
        inner, token = tokens.pop()
        depth += (token in ("[", "{")) - (token in ("]", "}"))
        text += inner + token
    return _Json(space, text, None)


def _object(space: str, tokens: list[tuple[str, str]]) -> _Json:
    members: dict[str, tuple[str, _Json, str]] = {}
    separator = "{"
    while separator != "}":
        if tokens[-1][1] == "}":
            tokens.pop()
            break
        name_space, name = tokens.pop()
        colon_space, colon = tokens.pop()
        value = _value(tokens)
        after, separator = tokens.pop()
        members[json.loads(name)] = (f"{name_space}{name}{colon_space}{colon}", value, after)
    return _Json(space, "", members)
