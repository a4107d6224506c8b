"""What the reference keeps of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.reference_window import Limits, Summary, window

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from sessionhistory.v1 import history_pb2 as hpb
    from sessionhistory.v1 import message_pb2 as mpb
    from sessionhistory.v1 import session_pb2 as spb


class Kept:
    """A session as the reference keeps it: what it shows, its messages, and what it has to remember."""

    def __init__(self, shown: spb.Session) -> None:
        self.shown = shown
        self.titled = bool(shown.title)
        self.messages: list[mpb.Message] = []
        self.summaries: list[Summary] = []
        self.sent: dict[str, mpb.Message] = {}

    @property
    def live(self) -> bool:
        """Whether it is there for reads and appends. No session here lives to see its expiry."""
        return not self.shown.HasField("delete_time")

    @property
    def active_time(self) -> Timestamp:
        """Of the last message, else of creation."""
        has = self.shown.HasField("last_message_time")
        return self.shown.last_message_time if has else self.shown.create_time

    def window(self, limits: Limits) -> hpb.History:
        """Return the context window."""
        return window(self.messages, limits, self.shown.last_sequence, self.summaries)
