"""The limit that bounds the memory of an import."""

from __future__ import annotations

from typing import Final

# Far above the limits of the service.
MAX_VALUE_BYTES: Final = 32_000_000
"""The largest value of a file, and the size of all conversations that the import has in memory."""
