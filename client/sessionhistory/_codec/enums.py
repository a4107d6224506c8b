"""Convert enums: the client's are words, the contract's are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory._codec.fields import invalid_field
from sessionhistory.types import (
    HistoryCut,
    MessageOrder,
    MessageStatus,
    OnBreak,
    Role,
    Scope,
    SessionOrder,
    SessionStatus,
    UnansweredCalls,
)
from sessionhistory.v1 import (
    append_message_stream_pb2,
    credentials_service_pb2,
    history_pb2,
    message_pb2,
    session_history_service_pb2,
    session_pb2,
)

if TYPE_CHECKING:
    from enum import StrEnum


class EnumCodec:
    """A codec of one enum, between the client's words and the contract's numbers.

    Args:
        words: The client's enum.
        numbers: The generated enum.
        prefix: The prefix of each name in the contract.
    """

    def __init__(self, words: type[StrEnum], numbers: Any, prefix: str) -> None:  # noqa: ANN401 - a generated enum, without types
        self._unknown = getattr(words, "UNKNOWN", None)
        self._numbers: dict[str, int] = {
            word: numbers.Value(prefix + word.name) for word in words if word is not self._unknown
        }
        self._words = {number: word for word, number in self._numbers.items()}

    def encode(self, word: object, path: str) -> int:
        """Return the number of a word; refuse any other value."""
        number = self._numbers.get(word) if isinstance(word, str) else None
        if number is None:
            raise invalid_field(path, f"must be one of {', '.join(self._numbers)}")
        return number

    def decode(self, number: int) -> Any:  # noqa: ANN401 - a member of the enum
        """Return the word of a number; ``UNKNOWN`` if the number is newer than this client."""
        return self._words.get(number, self._unknown)

    def encode_optional(self, word: object, path: str) -> int | None:
        """Return the number of a word, ``None`` for ``None``; refuse any other value."""
        return None if word is None else self.encode(word, path)

    def decode_optional(self, number: int) -> Any:  # noqa: ANN401 - a member of the enum
        """Return the word of a number as ``decode`` does, ``None`` if the number is not set."""
        return self.decode(number) if number else None


ROLES: Final = EnumCodec(Role, message_pb2.Role, "ROLE_")
MESSAGE_STATUSES: Final = EnumCodec(MessageStatus, message_pb2.MessageStatus, "MESSAGE_STATUS_")
ON_BREAKS: Final = EnumCodec(OnBreak, append_message_stream_pb2.OnBreak, "ON_BREAK_")
SCOPES: Final = EnumCodec(Scope, credentials_service_pb2.Scope, "SCOPE_")
SESSION_STATUSES: Final = EnumCodec(SessionStatus, session_pb2.SessionStatus, "SESSION_STATUS_")
MESSAGE_ORDERS: Final = EnumCodec(MessageOrder, session_history_service_pb2.MessageOrder, "MESSAGE_ORDER_")
SESSION_ORDERS: Final = EnumCodec(SessionOrder, session_history_service_pb2.SessionOrder, "SESSION_ORDER_")
HISTORY_CUTS: Final = EnumCodec(HistoryCut, history_pb2.HistoryCut, "HISTORY_CUT_")
UNANSWERED_CALLS: Final = EnumCodec(UnansweredCalls, history_pb2.UnansweredCalls, "UNANSWERED_CALLS_")
