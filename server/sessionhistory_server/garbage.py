"""The garbage collector, for a process that serves."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# A call leaves no cycles, and some hundred objects while it is under way: by default the collector looks at
# those of all calls under way several times a call.
_YOUNG_OBJECTS: Final = 50_000


def settle() -> None:
    """Take what is there now for lasting, and look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect nothing for the length of the block: what is imported is no garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
