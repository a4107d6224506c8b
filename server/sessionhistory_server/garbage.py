"""The garbage collector, for a process that serves."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# gRPC leaves a cycle of six objects for each call, and a call is some hundred while under way: by default the
# collector looks at those of all calls under way several times a call; many more, and a collection takes as
# long as several calls.
_YOUNG_OBJECTS: Final = 2_000


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
