"""Filters of lists, independent of transport and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.model.session import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping


class SessionFilter(NamedTuple):
    """The conditions, which must all hold, and the order of a list of sessions. Time bounds are exclusive."""

    user_id: str | None = None
    application_id: str | None = None
    statuses: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    title_contains: str | None = None
    create_time_after: int | None = None
    create_time_before: int | None = None
    last_activity_time_after: int | None = None
    last_activity_time_before: int | None = None
    show_deleted: bool = False
    by_creation: bool = False
    ascending: bool = False

    @property
    def may_pass_over(self) -> bool:
        """Whether the list may pass over any number of sessions that do not match."""
        times = (self.last_activity_time_after, self.last_activity_time_before)
        if not self.by_creation:
            times = (self.create_time_after, self.create_time_before)
        by_status = bool(self.statuses) and (self.statuses != (ACTIVE,) or self.user_id is None)
        by_content = bool(self.title_contains or self.labels or self.application_id)
        return by_content or by_status or times != (None, None)


class MessageFilter(NamedTuple):
    """The conditions, which must all hold, and the order of a list of messages. Bounds are exclusive."""

    after_sequence: int = 0
    before_sequence: int | None = None
    roles: tuple[str, ...] = ()
    create_time_after: int | None = None
    create_time_before: int | None = None
    descending: bool = False

    @property
    def may_pass_over(self) -> bool:
        """Whether the list may pass over any number of messages that do not match."""
        return bool(self.roles) or (self.create_time_after, self.create_time_before) != (None, None)
