"""Items that wait in lanes: the items of a lane go in order, and never at the same time in two groups."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

T = TypeVar("T")


class Lanes(Generic[T]):
    """Lanes of items. A lane is open, unless a group that has not returned has items of it.

    A lane exists only while it has items, or while a group has some.
    """

    def __init__(self) -> None:
        self._items: dict[Hashable, deque[T]] = {}
        """By lane; empty if a group has all items of the lane."""
        self._open: deque[Hashable] = deque()
        """The open lanes. The first one is next."""
        self._taken: set[Hashable] = set()
        self.total = 0
        """The number of all items."""
        self.ready = 0
        """The number of the items in open lanes."""

    def add(self, lane: Hashable, item: T) -> None:
        """Let an item wait at the end of a lane."""
        items = self._items.get(lane)
        if items is None:
            items = self._items[lane] = deque()
            self._open.append(lane)
        items.append(item)
        self.total += 1
        if lane not in self._taken:
            self.ready += 1

    def take(self, maximum: int) -> tuple[list[T], list[Hashable]]:
        """Take a group of items from open lanes; return it, and its lanes for ``give_back``."""
        group: list[T] = []
        lanes: list[Hashable] = []
        while self._open and len(group) < maximum:
            lane = self._open.popleft()
            items = self._items[lane]
            self.ready -= len(items)
            lanes.append(lane)
            while items and len(group) < maximum:
                group.append(items.popleft())
        self._taken.update(lanes)
        self.total -= len(group)
        return group, lanes

    def give_back(self, lanes: Iterable[Hashable]) -> None:
        """Open the lanes of a group. Those with further items are the last ones."""
        for lane in lanes:
            self._taken.discard(lane)
            if items := self._items[lane]:
                self._open.append(lane)
                self.ready += len(items)
            else:
                del self._items[lane]
