"""Measure and free the memory of this process, as the operating system counts it."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return the bytes of resident memory; 0 on systems other than Linux."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def free() -> None:
    """Collect garbage, and return free memory to the operating system if the C library can.

    Each call leaves a cycle of objects to the collector. The collector counts objects, not the memory of gRPC
    that they keep, which is a megabyte if a call's headers were large.
    """
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
