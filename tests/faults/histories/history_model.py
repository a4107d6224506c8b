"""One session as a sequential program: the state after each call, and its answer.

It is small and immutable, so that a search can keep many states: no times, no tokens, no pinned messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = tuple[Any, ...]
"""``("ok", …)``, or ``("refused", reason)``."""


class Stored(NamedTuple):
    """A message with its sequence."""

    sequence: int
    message_id: str
    content: str


class State(NamedTuple):
    """The session under an id; without an ``owner`` there is none."""

    owner: str = ""
    deleted: bool = False
    last: int = 0
    messages: tuple[Stored, ...] = ()
    summaries: tuple[int, ...] = ()
    """The last message that each summary covers."""
    version: int = 0
    value: int = 0
    """``version`` and ``value`` are those of the session's state."""

    @property
    def counters(self) -> tuple[int, int]:
        """The last sequence, and the number of messages."""
        return self.last, len(self.messages)


class Call(NamedTuple):
    """A user's call; the arguments are those of the function of that name below."""

    kind: str
    user: str
    arguments: tuple[Any, ...] = ()


_NOT_FOUND: Outcome = ("refused", "SESSION_NOT_FOUND")


def step(state: State, call: Call) -> tuple[State, Outcome]:
    """Return the state after a call, and its answer."""
    visible = state.owner == call.user and not state.deleted
    if call.kind in _OF_ANY:
        return _OF_ANY[call.kind](state, call.user, *call.arguments)
    return _OF_LIVE[call.kind](state, *call.arguments) if visible else (state, _NOT_FOUND)


def _create(state: State, user: str) -> tuple[State, Outcome]:
    if state.owner == user and not state.deleted:
        return state, ("ok", False)
    return (state, ("refused", "SESSION_EXISTS")) if state.owner else (State(owner=user), ("ok", True))


def _append(
    state: State,
    user: str,
    new: tuple[tuple[str, str], ...],
    expected: int | None,
    creates: bool,  # noqa: FBT001 - a call's arguments are positional
) -> tuple[State, Outcome]:
    created = not state.owner and creates
    if created:
        state = State(owner=user)
    if state.owner != user and creates and expected not in (None, 0):
        return state, ("refused", "SEQUENCE_MISMATCH")  # as if the session were missing
    if state.owner != user or state.deleted:
        return state, _NOT_FOUND
    there = {message.message_id: message for message in state.messages}
    if any(message_id in there for message_id, _ in new):
        return state, _appended_before(state, new, there)
    if expected not in (None, state.last):
        return (State() if created else state), ("refused", "SEQUENCE_MISMATCH")
    state = _with(state, new)
    return state, ("ok", _places(state.messages[-len(new) :]), *state.counters, created)


def _appended_before(state: State, new: tuple[tuple[str, str], ...], there: dict[str, Stored]) -> Outcome:
    found = [there[message_id] for message_id, _ in new if message_id in there]
    if [message[1:] for message in found] != list(new) or not _in_a_row(found):
        return ("refused", "MESSAGE_ID_REUSED")
    return ("ok", _places(found), *state.counters, False)


def _replace(state: State, after: int, new: tuple[tuple[str, str], ...]) -> tuple[State, Outcome]:
    kept = {message.message_id for message in state.messages if message.sequence <= after}
    if any(message_id in kept for message_id, _ in new):
        return state, ("refused", "MESSAGE_ID_REUSED")
    tail = [message for message in state.messages if message.sequence > after][: len(new)]
    if [message[1:] for message in tail] == list(new) and _in_a_row(tail):
        return state, ("ok", _places(tail), *state.counters)
    if after > state.last:
        return state, ("refused", "SEQUENCE_MISMATCH")
    state = _with(_without(state, after), new)
    return state, ("ok", _places(state.messages[-len(new) :]), *state.counters)


def _truncate(state: State, after: int) -> tuple[State, Outcome]:
    if after > state.last:
        return state, ("refused", "SEQUENCE_MISMATCH")
    left = _without(state, after)
    return left, ("ok", len(state.messages) - len(left.messages), *left.counters)


def _compact(state: State, through: int) -> tuple[State, Outcome]:
    if all(message.sequence != through for message in state.messages):
        return state, ("refused", "MESSAGE_NOT_FOUND")
    covered = sum(message.sequence <= through for message in state.messages)
    summaries = tuple(sorted({*state.summaries, through}))
    return state._replace(summaries=summaries), ("ok", through, covered)


def _fork(state: State) -> tuple[State, Outcome]:
    last = state.messages[-1].sequence if state.messages else 0
    return state, ("ok", last, len(state.messages), _compacted(state))


def _patch(state: State, value: int, expected: int | None) -> tuple[State, Outcome]:
    if expected not in (None, state.version):
        return state, ("refused", "STATE_VERSION_MISMATCH")
    state = state._replace(version=state.version + 1, value=value)
    return state, ("ok", state.version, value)


def _delete(state: State) -> tuple[State, Outcome]:
    return state._replace(deleted=True), ("ok", *state.counters)


def _undelete(state: State, user: str) -> tuple[State, Outcome]:
    if state.owner != user:
        return state, _NOT_FOUND
    if not state.deleted:
        return state, ("refused", "SESSION_NOT_DELETED")
    return state._replace(deleted=False), ("ok", *state.counters)


def _purge(state: State, user: str) -> tuple[State, Outcome]:
    return (State(), ("ok", *state.counters)) if state.owner == user else (state, _NOT_FOUND)


def _get_session(state: State) -> tuple[State, Outcome]:
    return state, ("ok", *state.counters, state.version, state.value, _compacted(state))


def _get_message(state: State, message_id: str) -> tuple[State, Outcome]:
    for message in state.messages:
        if message.message_id == message_id:
            return state, ("ok", *message)
    return state, ("refused", "MESSAGE_NOT_FOUND")


def _list_messages(state: State) -> tuple[State, Outcome]:
    return state, ("ok", state.messages)


def _window(state: State) -> tuple[State, Outcome]:
    through = _compacted(state)
    summary = (f"through {through}",) if through else ()
    rest = tuple(message.content for message in state.messages if message.sequence > through)
    return state, ("ok", summary + rest, state.last)


_OF_ANY: dict[str, Callable[..., tuple[State, Outcome]]] = {
    "create": _create,
    "append": _append,
    "undelete": _undelete,
    "purge": _purge,
}

_OF_LIVE: dict[str, Callable[..., tuple[State, Outcome]]] = {
    "replace": _replace,
    "truncate": _truncate,
    "compact": _compact,
    "fork": _fork,
    "patch": _patch,
    "delete": _delete,
    "get session": _get_session,
    "get message": _get_message,
    "list messages": _list_messages,
    "window": _window,
}


def _with(state: State, new: tuple[tuple[str, str], ...]) -> State:
    added = tuple(Stored(state.last + place, *one) for place, one in enumerate(new, start=1))
    return state._replace(last=state.last + len(new), messages=state.messages + added)


def _without(state: State, after: int) -> State:
    messages = tuple(message for message in state.messages if message.sequence <= after)
    summaries = tuple(through for through in state.summaries if through <= after)
    return state._replace(messages=messages, summaries=summaries)


def _compacted(state: State) -> int:
    return max(state.summaries, default=0)


def _places(messages: tuple[Stored, ...] | list[Stored]) -> tuple[int, ...]:
    return tuple(message.sequence for message in messages)


def _in_a_row(messages: list[Stored]) -> bool:
    places = _places(messages)
    return list(places) == list(range(places[0], places[0] + len(places)))
