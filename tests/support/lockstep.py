"""Call the service and its reference side by side, and require the same answer of both.

The service makes times, etags, page tokens and ids that the reference cannot know. Each time and each etag
or token of the service is paired with the one that the reference has in its place; times are paired one to
one and in order. The ids that the service makes are given to the reference.
"""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from support import reference_rules as rules
from support.errors import failure_of
from support.reference_rules import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

    from support.reference import Reference

_OPAQUE = ("etag", "page_token", "next_page_token")
_MADE_ID = re.compile(r"[0-9a-f]{32}")


class Lockstep:
    """Calls both, compares their answers, and returns the reference's answer."""

    def __init__(self, stub: Any, reference: Reference) -> None:
        self.stub = stub
        self.reference = reference
        self._actual_times: dict[int, int] = {}
        self._ticks: list[int] = []
        self._actual_texts: dict[str, str] = {}

    def call(self, method: str, request: Any) -> Any:
        """Call a method of both.

        Returns:
            The reference's response, or ``Refused`` if both refuse with the same code and reason.
        """
        actual = self._call_service(method, request)
        made = [] if isinstance(actual, Refused) else list(_made_ids(request, actual))
        assert all(_MADE_ID.fullmatch(made_id) for made_id in made), made
        self.reference.made_ids = made
        try:
            expected = self.reference.call(method, request)
        except Refused as refused:
            expected = refused
        assert not self.reference.made_ids
        if isinstance(expected, Refused) or isinstance(actual, Refused):
            assert repr(actual) == repr(expected), _difference(method, request, actual, expected)
            return expected
        self._tie(expected, actual)
        assert actual == expected, _difference(method, request, actual, expected)
        return expected

    def _call_service(self, method: str, request: Any) -> Any:
        if isinstance(request, tuple):  # a stream, in which there is no time and no token of the reference
            sent: Any = iter(request)
        else:
            sent = type(request)()
            sent.CopyFrom(request)
            self._translate(sent)
        try:
            return getattr(self.stub, method)(sent, timeout=30)
        except grpc.RpcError as error:
            failure = failure_of(error)
            assert failure.code is not None
            return Refused(failure.code.name, failure.reason, failure.message)

    def _translate(self, request: Message) -> None:
        """Replace the reference's times and tokens in a request by the service's."""
        for field, value in request.ListFields():
            if field.name in _OPAQUE:
                setattr(request, field.name, self._actual_texts.get(value, value))
            for child in _children(field, value):
                if not isinstance(child, Timestamp):
                    self._translate(child)
                elif rules.is_tick(child):
                    child.FromNanoseconds(self._actual_times[child.nanos])

    def _tie(self, expected: Message, actual: Message) -> None:
        """Pair the service's times and tokens with the reference's, and replace the former by the latter."""
        for field, value in expected.ListFields():
            theirs = getattr(actual, field.name)
            if field.name in _OPAQUE:
                assert theirs, field.name
                assert self._actual_texts.setdefault(value, theirs) == theirs
                if field.name == "etag":
                    assert sum(known == theirs for known in self._actual_texts.values()) == 1
                setattr(actual, field.name, value)
            pairs = zip(_children(field, value), _children(field, theirs), strict=False)
            for child, their_child in pairs:
                if not isinstance(child, Timestamp):
                    self._tie(child, their_child)
                elif (
                    rules.is_tick(child)
                    and isinstance(their_child, Timestamp)
                    and actual.HasField(field.name)
                ):
                    self._tie_time(child, their_child)
                    their_child.CopyFrom(child)

    def _tie_time(self, expected: Timestamp, actual: Timestamp) -> None:
        tick, time = expected.nanos, rules.nanos(actual) - rules.added(expected) * 10**9
        known = self._actual_times.get(tick)
        if known is None:
            assert time % 1_000 == 0
            place = bisect.bisect(self._ticks, tick)
            self._ticks.insert(place, tick)
            self._actual_times[tick] = time
            near = [self._actual_times[near] for near in self._ticks[max(place - 1, 0) : place + 2]]
            assert near == sorted(near)
        else:
            assert time == known


def _difference(method: str, request: Any, actual: Any, expected: Any) -> str:
    text = getattr(actual, "text", "")
    sides = (f"{method} {request!r}", f"the service: {actual!r} {text}", f"the reference: {expected!r}")
    return "\n\n".join(sides)


def _children(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    """Yield the messages in a field, except those of a map."""
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return
    if isinstance(value, (list, tuple)) or hasattr(value, "add"):
        yield from value
    else:
        yield value


def _made_ids(request: Any, response: Any) -> Iterator[str]:
    """Yield the ids that the service made, in the order in which the reference needs them."""
    match type(request).__name__:
        case "CreateSessionRequest" | "EnsureActiveSessionRequest":
            if response.created and not _named(request):
                yield response.session.session_id
        case "ForkSessionRequest" | "ResetSessionRequest":
            if not request.new_session_id:
                yield response.session.session_id
        case "CompactHistoryRequest":
            # Messages that were stored before keep the ids that they were given then.
            if not request.message.message_id and _MADE_ID.fullmatch(response.message.message_id):
                yield response.message.message_id
        case "AppendMessageRequest" | "AppendMessagesRequest":
            if not request.session_id:
                yield response.session_id
            yield from _made_message_ids(request, response)


def _named(request: Any) -> str:
    creates = type(request).__name__ == "CreateSessionRequest"
    named: str = request.session_id if creates else request.new_session_id
    return named


def _made_message_ids(request: Any, response: Any) -> Iterator[str]:
    single = type(request).__name__ == "AppendMessageRequest"
    asked = [request.message] if single else request.messages
    stored = [response.message] if single else response.messages
    for message, kept in zip(asked, stored, strict=True):
        if not message.message_id:
            yield kept.message_id
