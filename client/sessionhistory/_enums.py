"""The enums of the contract and the client's, by number and by word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.types import HistoryCut, MessageStatus, OnBreak, Role, SessionOrder, SessionStatus
from sessionhistory.v1 import (
    append_message_stream_pb2,
    history_pb2,
    message_pb2,
    session_history_service_pb2,
    session_pb2,
)

if TYPE_CHECKING:
    from enum import StrEnum


class Words:
    """The words of one enum, by their numbers and back."""

    def __init__(self, words: type[StrEnum], numbers: Any, prefix: str) -> None:  # noqa: ANN401 - a generated enum, without types
        self._unknown = getattr(words, "UNKNOWN", None)
        self._numbers: dict[str, int] = {
            word: numbers.Value(prefix + word.name) for word in words if word is not self._unknown
        }
        self._words = {number: word for word, number in self._numbers.items()}
        self.choices: Final = ", ".join(self._numbers)

    def word(self, number: int) -> Any:  # noqa: ANN401 - a member of the enum
        """Return what a number means; ``UNKNOWN`` if it is newer than this client."""
        return self._words.get(number, self._unknown)

    def number(self, word: object) -> int | None:
        """Return the number of a word, ``None`` if it has none."""
        return self._numbers.get(word) if isinstance(word, str) else None


ROLES: Final = Words(Role, message_pb2.Role, "ROLE_")
MESSAGE_STATUSES: Final = Words(MessageStatus, message_pb2.MessageStatus, "MESSAGE_STATUS_")
ON_BREAKS: Final = Words(OnBreak, append_message_stream_pb2.OnBreak, "ON_BREAK_")
SESSION_STATUSES: Final = Words(SessionStatus, session_pb2.SessionStatus, "SESSION_STATUS_")
SESSION_ORDERS: Final = Words(SessionOrder, session_history_service_pb2.SessionOrder, "SESSION_ORDER_")
HISTORY_CUTS: Final = Words(HistoryCut, history_pb2.HistoryCut, "HISTORY_CUT_")
