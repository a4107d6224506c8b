"""The messages that one append stores together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store.room import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from typing import Self

    from sessionhistory_server.call_order import OrderedCall
    from sessionhistory_server.errors import LimitReachedError
    from sessionhistory_server.model.append import Append
    from sessionhistory_server.model.message import MessageContent, NewMessage
    from sessionhistory_server.store.room import Room
    from sessionhistory_server.store.session_ref import SessionRef


class Batch(NamedTuple):
    """An append for the store: the messages have ids, and their tokens are counted."""

    asked: Append
    tenant_id: str
    ref: SessionRef
    messages: list[NewMessage]
    token_counter: str
    """The counter that counted the messages. ``MIXED``: the session's counter becomes ``MIXED``, too."""
    retention: timedelta
    room: Room = UNLIMITED
    refusal: LimitReachedError | None = None
    """The error for messages without room. They are not stored, but found if they are stored already."""
    order: OrderedCall | None = None
    """The place of the call among the calls of a stream; ``None``: the call is no such call."""

    @property
    def creates(self) -> bool:
        """Whether to create the session if it does not exist."""
        return self.asked.new_session is not None

    @property
    def required_counter(self) -> str | None:
        """The counter that the session must have, unless it has ``MIXED``; ``None``: any counter."""
        if self.token_counter == MIXED or all(m.content.token_count_given is not None for m in self.messages):
            return None
        return self.token_counter

    @property
    def size_bytes(self) -> int:
        """The bytes of the messages."""
        return sum(message.size_bytes for message in self.messages)

    @property
    def message_ids(self) -> list[str]:
        """The ids of the messages, in order."""
        return [message.content.message_id for message in self.messages]

    @property
    def contents(self) -> list[MessageContent]:
        """The contents of the messages, in order."""
        return [message.content for message in self.messages]

    @property
    def is_in_order(self) -> bool:
        """Whether the batches before it in its order are stored, or are sent before it or with it."""
        return self.order is None or self.order.may_share

    def leave_out(self) -> None:
        """Let the batches behind it in its order wait until it is stored alone."""
        if self.order is not None:
            self.order.leave()

    def counted(self, counts: Iterable[int], token_counter: str) -> Self:
        """Return the batch with other token counts."""
        messages = [m._replace(token_count=count) for m, count in zip(self.messages, counts, strict=True)]
        return self._replace(messages=messages, token_counter=token_counter)

    def within(self, room: Room) -> Self:
        """Return the batch with the room that the limits leave for it, of which it takes its bytes."""
        if room is self.room:
            return self
        return self._replace(room=room, refusal=room.take_bytes(self.size_bytes))

    def expecting(self, last_sequence: int) -> Self:
        """Return the batch with an expected last sequence."""
        return self._replace(asked=self.asked._replace(expected_last_sequence=last_sequence))
