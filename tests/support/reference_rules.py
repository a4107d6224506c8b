"""The reference model's validation, filters and times."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import regex
from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.reference_kept import Kept

SETTINGS = tuple(f"history_settings.{field.name}" for field in spb.HistorySettings.DESCRIPTOR.fields)
PLAIN = ("title", "model", "status", "labels", "metadata", "state")
MUTABLE = (*PLAIN, "history_settings", *SETTINGS, "expire_time", "ttl")

_REQUIRED = {"TruncateMessages": ("keep_through_sequence",)}

# The reference's times are earlier than any time that a caller can name. The nanos are the tick; seconds
# beyond this value were added to the tick.
_TICKS = -1_000_000_000_000
_SECOND = 1_000_000_000
_COUNTS = {
    *("max_messages", "token_budget", "max_turns", "step_tokens", "step_messages", "page_size"),
    *("after_sequence", "before_sequence", "expected_last_sequence", "keep_through_sequence"),
    "through_sequence",
}
_ID = re.compile(r"""(?:(?!["'`\\])[!-~]){1,256}""")


class Refused(Exception):  # noqa: N818 - it is the contract's word
    """The contract's refusal of a request, with a code and a reason."""

    def __init__(self, code: str, reason: str, text: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.text = text
        """The service's own words, which are not compared."""


def require(holds: object, code: str, reason: str) -> None:
    """Refuse the request unless a condition holds.

    Raises:
        Refused: the condition does not hold.
    """
    if not holds:
        raise Refused(code, reason)


def check(method: str, request: Any) -> None:
    """Refuse a malformed request, before anything is looked up.

    Raises:
        Refused: the request is malformed.
    """
    valid = all(_validity(method, request))
    require(valid, "INVALID_ARGUMENT", "INVALID_FIELD")
    if method.startswith("List") and request.page_token:
        mine = request.page_token.startswith(_page_prefix(request))
        require(mine, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


def _validity(method: str, request: Any) -> Iterator[object]:
    names = {field.name for field in request.DESCRIPTOR.fields}
    yield all(getattr(request, name) >= 0 for name in names & _COUNTS)
    yield all(request.HasField(name) for name in _REQUIRED.get(method, ()))
    if "session_id" in names:
        creates = method == "CreateSession" or (
            method.startswith("Append") and request.HasField("new_session")
        )
        yield _is_id(request.session_id) or (creates and not request.session_id)
    for name in names & _RULES.keys():
        yield from _RULES[name](request)
    for name in names & {"session", "new_session"}:
        session = getattr(request, name)
        yield all(not text or _is_object(text) for text in (session.metadata, session.state))
        yield "\0" not in session.title
        yield from _validity_of_options(session.history_settings)
        yield _is_name(session.application_id)
    if method == "UpdateSession":
        yield all(path in (*MUTABLE, "*") for path in request.update_mask.paths)
        yield paths_of(request)
        yield not request.session.application_id
    if method.endswith("ActiveSession"):
        yield request.user_id
    if method == "EnsureActiveSession":
        yield not request.new_session_id or _is_id(request.new_session_id)
        yield request.new_session.status <= spb.SESSION_STATUS_ACTIVE
    if method == "GetMessage":
        yield request.WhichOneof("key")
        yield request.WhichOneof("key") != "sequence" or request.sequence > 0
    if method in ("ForkSession", "ResetSession"):
        yield from _validity_of_copy(request)
    if method.startswith("Append"):
        yield from _validity_of_append(request)


def _validity_of_patch(request: Any) -> Iterator[object]:
    yield request.expected_state_version >= 0
    if isinstance(request, pb.UpdateStateRequest):
        yield _is_object(request.patch)
    else:
        yield not request.state_patch or _is_object(request.state_patch)


def _validity_of_copy(request: Any) -> Iterator[object]:
    yield not request.new_session_id or _is_id(request.new_session_id)
    yield not request.user_id or request.new_user_id in ("", request.user_id)
    if isinstance(request, pb.ResetSessionRequest):
        yield request.new_session.status <= spb.SESSION_STATUS_ACTIVE
        yield request.previous_status != spb.SESSION_STATUS_ACTIVE


def _validity_of_compaction(request: pb.CompactHistoryRequest) -> Iterator[object]:
    message = request.message
    yield request.through_sequence > 0
    yield message.content or message.parts or message.payload
    yield message.role != mpb.ROLE_TOOL and not message.pinned and not message.tool_calls
    yield from _validity_of_message(message)
    yield min(request.expected_last_sequence, request.expected_compacted_through_sequence) >= 0


def _validity_of_application(
    request: pb.ListSessionsRequest | pb.GetActiveSessionRequest,
) -> Iterator[object]:
    yield _is_name(request.application_id)


def _validity_of_options(
    options: hpb.HistoryOptions | spb.HistorySettings | pb.GetHistoryRequest,
) -> Iterator[object]:
    yield options.unanswered_calls in hpb.UnansweredCalls.values()
    names = {field.name for field in options.DESCRIPTOR.fields}
    yield all(getattr(options, name) >= 0 for name in names & _COUNTS)


_RULES = {
    "application_id": _validity_of_application,
    "unanswered_calls": _validity_of_options,
    "expected_state_version": _validity_of_patch,
    "expected_compacted_through_sequence": _validity_of_compaction,
}
"""Rules for requests that have a field, by the field's name."""


def _validity_of_append(request: Any) -> Iterator[object]:
    single = isinstance(request, pb.AppendMessageRequest)
    if single:
        yield from _validity_of_options(request.history)
    messages = [request.message] if single else request.messages
    yield request.new_session.status <= spb.SESSION_STATUS_ACTIVE
    ids = [message.message_id for message in messages if message.message_id]
    yield len(ids) == len(set(ids))
    yield 1 <= len(messages) <= 500
    for message in messages:
        yield message.role != mpb.ROLE_UNSPECIFIED
        yield not message.pinned or (message.role != mpb.ROLE_TOOL and not message.tool_calls)
        yield from _validity_of_message(message)


def _validity_of_message(message: mpb.Message) -> Iterator[object]:
    yield not message.message_id or _is_id(message.message_id)
    yield "\0" not in message.content
    yield message.token_count >= 0
    yield not message.metadata or _is_object(message.metadata)
    yield not message.HasField("usage") or message.usage.ListFields()
    yield all(part.WhichOneof("kind") for part in message.parts)
    thoughts = [part.reasoning for part in message.parts if part.HasField("reasoning")]
    yield all(thought.text or thought.opaque for thought in thoughts)
    yield all(call.name for call in message.tool_calls)


def paths_of(request: pb.UpdateSessionRequest) -> list[str]:
    """Return the single fields that an update changes."""
    session, paths = request.session, list(request.update_mask.paths)
    if not request.HasField("update_mask"):
        paths = [field.name for field, _ in session.ListFields() if field.name in MUTABLE]
        if "history_settings" in paths:
            paths.remove("history_settings")
            paths += [f"history_settings.{field.name}" for field, _ in session.history_settings.ListFields()]
    if "*" in paths:
        paths = [*PLAIN, *SETTINGS, "expire_time"]
    if "history_settings" in paths:
        paths += SETTINGS
    return [path for path in paths if path != "history_settings"]


def copy_field(source: Any, target: Any, name: str) -> None:
    """Copy a field from another message, or clear it if it is not set there."""
    target.ClearField(name)
    fields = {field.name: value for field, value in source.ListFields()}
    if name in fields:
        target.MergeFrom(type(target)(**{name: fields[name]}))


def as_sent(message: mpb.Message) -> mpb.Message:
    """Return the caller's fields of a message; two messages are the same if these are equal."""
    sent = mpb.Message()
    sent.CopyFrom(message)
    sent.ClearField("sequence")
    sent.ClearField("create_time")
    sent.status = sent.status or mpb.MESSAGE_STATUS_COMPLETE
    return sent


def title_of(text: str) -> str:
    """Return the longest beginning of at most 80 code points that cuts no character in two.

    A character is what a reader sees as one.
    """
    title = ""
    for seen in regex.findall(r"\X", text):
        if len(title + seen) > 80:
            break
        title += seen
    return title or text[:80]


def is_active(kept: Kept, user_id: str, application_id: str) -> bool:
    """Return whether a session is active for a user, in the named application or in any."""
    shown = kept.shown
    theirs = shown.user_id == user_id and application_id in ("", shown.application_id)
    return kept.live and theirs and shown.status == spb.SESSION_STATUS_ACTIVE


def is_wanted_session(request: pb.ListSessionsRequest, kept: Kept) -> bool:
    """Return whether a session passes all filters of a list of sessions."""
    shown: spb.Session = kept.shown
    return (
        request.user_id in ("", shown.user_id)
        and request.application_id in ("", shown.application_id)
        and (not request.statuses or shown.status in request.statuses)
        and all(shown.labels.get(key) == value for key, value in request.labels.items())
        and request.title_contains.lower() in shown.title.lower()
        and (request.show_deleted or kept.live)
        and _is_between(request, "create_time_after", shown.create_time, "create_time_before")
        and _is_between(
            request, "last_activity_time_after", shown.last_activity_time, "last_activity_time_before"
        )
    )


def is_wanted_message(request: pb.ListMessagesRequest, message: mpb.Message) -> bool:
    """Return whether a message passes all filters of a list of messages."""
    before = request.before_sequence if request.HasField("before_sequence") else message.sequence + 1
    return (
        request.after_sequence < message.sequence < before
        and (not request.roles or message.role in request.roles)
        and _is_between(request, "create_time_after", message.create_time, "create_time_before")
    )


def page(request: Any, places: Sequence[int]) -> tuple[list[int], str]:
    """Return the indexes of the places on a page, and the token of the next page; places ascend."""
    prefix, size = _page_prefix(request), min(request.page_size or 50, 1_000)
    after = int(request.page_token.removeprefix(prefix)) if request.page_token else None
    left = [index for index, place in enumerate(places) if after is None or place > after]
    return left[:size], f"{prefix}{places[left[size - 1]]}" if len(left) > size else ""


def tick(number: int) -> Timestamp:
    """Return the reference's time of a call."""
    return Timestamp(seconds=_TICKS, nanos=number)


def is_tick(time: Timestamp) -> bool:
    """Return whether a time is a tick of the reference, maybe with seconds added."""
    return bool(time.seconds < _TICKS // 2)


def added(time: Timestamp) -> int:
    """Return the seconds that were added to a tick."""
    return int(time.seconds - _TICKS)


def seconds_after(time: Timestamp, seconds: int) -> Timestamp:
    """Return a later time."""
    return Timestamp(seconds=time.seconds + seconds, nanos=time.nanos)


def to_the_microsecond(time: Timestamp) -> Timestamp:
    """Round a time down to the precision that Postgres keeps."""
    return Timestamp(seconds=time.seconds, nanos=time.nanos // 1_000 * 1_000)


def nanos(time: Timestamp) -> int:
    """Return a time as an integer that sorts by time."""
    return int(time.seconds) * _SECOND + time.nanos


def _is_between(request: Any, after: str, time: Timestamp, before: str) -> bool:
    later = not request.HasField(after) or nanos(time) > nanos(getattr(request, after))
    return later and (not request.HasField(before) or nanos(time) < nanos(getattr(request, before)))


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _is_name(text: str) -> bool:
    return "\0" not in text and len(text) <= 256


def _is_object(text: str) -> bool:
    try:
        return "\0" not in text and isinstance(json.loads(text, parse_int=str), dict)
    except ValueError:
        return False


def _page_prefix(request: Any) -> str:
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("page_size")
    asked.ClearField("page_token")
    return f"page-{hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest()}:"
