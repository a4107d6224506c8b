"""A queue that serves several queues in turns."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Queues of items by keys, such as the tenants of calls. Each key is served once, then the next one.

    Each step takes the same time, however many items wait.
    """

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()
        """Without the keys that have no items. The first key is served next."""

    def __bool__(self) -> bool:
        """Return whether an item waits."""
        return bool(self._queues)

    def add(self, key: Hashable, item: T) -> None:
        """Let an item wait behind the other items of its key."""
        self._queues.setdefault(key, OrderedDict())[item] = None

    def remove(self, key: Hashable, item: T) -> None:
        """Remove an item that waits."""
        queue = self._queues[key]
        del queue[item]
        if not queue:
            del self._queues[key]

    def take(self) -> T:
        """Remove and return the next item. The other keys are served before the next item of its key."""
        key, queue = self._queues.popitem(last=False)
        item, _ = queue.popitem(last=False)
        if queue:
            self._queues[key] = queue
        return item
