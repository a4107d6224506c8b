"""The current call: the fields of its log lines, its deadline, and the ids for the trail."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.call_order import OrderedCall


class Subject(NamedTuple):
    """The ids and the act that the trail shows of a call; empty if unknown, or if there are none."""

    tenant_id: str = ""
    credential_id: str = ""
    session_id: str = ""
    """As the caller sent it."""
    act: str = ""
    """The administrative act, by its name in ``observability.trail``."""
    api_key_id: str = ""
    """The key that the act changes."""
    token_id: str = ""
    """The token that the act refuses."""
    limits: str = ""
    """The limits that the act sets, as NAME=VALUE, or unsets, as NAME, separated by spaces."""


_UNKNOWN: Final = Subject()


class CallContext:
    """The request id, the method, the deadline and the subject of a call, and its credential as sent."""

    __slots__ = ("authorization", "deadline", "end_turn", "method", "order", "request_id", "subject")

    def __init__(
        self, request_id: str, method: str, deadline: float = math.inf, *, authorization: str | None = None
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.authorization = authorization
        """The metadata of this name; ``None``: none. It is a secret, which no log may contain."""
        self.subject = _UNKNOWN
        self.end_turn: Callable[[], None] = _do_nothing
        """Leaves the call's place among those that execute to another call, because this one has to wait."""
        self.order: OrderedCall | None = None
        """The call's place among the calls of a stream to one session; ``None``: the call is no such call."""
        self.deadline = deadline
        """By the monotonic clock, in seconds; infinite: none."""

    def limit(self, seconds: float) -> None:
        """Set the deadline of the call to this many seconds from now."""
        self.deadline = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """The seconds until the deadline: negative after it, infinite without a deadline."""
        return self.deadline - time.monotonic()


def _do_nothing() -> None:
    """End no turn: the call has none."""


# One variable for all values, because to set a variable takes longer than to make a value.
_current: ContextVar[CallContext] = ContextVar("call")


def begin(call: CallContext) -> None:
    """Set the current call of this task and of the tasks that it starts."""
    _current.set(call)


def current() -> CallContext:
    """Return the current call; outside of a call, one without fields and without a deadline."""
    return _current.get(None) or CallContext("", "")
