"""The reference's record of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.reference_window import Limits, Summary, window

if TYPE_CHECKING:
    from sessionhistory.v1 import history_pb2 as hpb
    from sessionhistory.v1 import message_pb2 as mpb
    from sessionhistory.v1 import session_pb2 as spb


class Kept:
    """A session in the reference: its visible fields, its messages, and its internal bookkeeping."""

    def __init__(self, shown: spb.Session) -> None:
        self.shown = shown
        self.titled = bool(shown.title)
        self.messages: list[mpb.Message] = []
        self.summaries: list[Summary] = []
        self.sent: dict[str, mpb.Message] = {}

    @property
    def live(self) -> bool:
        """Whether reads and appends find the session. No session lives until its expiry in these tests."""
        return not self.shown.HasField("delete_time")

    def window(self, limits: Limits) -> hpb.History:
        """Return the context window."""
        return window(self.messages, limits, self.shown.last_sequence, self.summaries)
