"""The metadata of each attempt of a call: the caller's, and the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._transport import aio
from sessionhistory._transport.keys import header
from sessionhistory._transport.options import checked_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sessionhistory._transport.options import Metadata

    MetadataMapping = Mapping[str, str | bytes]


class AsyncCallMetadata:
    """The metadata of calls. No message or repr contains the key.

    Args:
        metadata: The caller's metadata, or a function that returns it.
        key: The key, or a function that returns a fresh one; ``None``: none.
    """

    def __init__(
        self, metadata: MetadataMapping | Callable[[], MetadataMapping], key: str | aio.KeyFunction | None
    ) -> None:
        self._metadata = metadata if callable(metadata) else checked_metadata(metadata)
        self._function = key if callable(key) else None
        self._header = () if key is None or callable(key) else header(key)

    @property
    def has_fresh_keys(self) -> bool:
        """Whether a function returns the key, so that the next one may be another."""
        return self._function is not None

    async def of_attempt(self, seconds: float) -> Metadata:
        """Return the metadata of the next attempt, with the key as its last entry.

        Args:
            seconds: How long the key may take, if its function is async.

        Raises:
            ValueError: HTTP/2 does not allow the metadata, or the key.
            DeadlineExceededError: the function has not returned a key in this time.
        """
        metadata = checked_metadata(self._metadata()) if callable(self._metadata) else self._metadata
        if self._function is None:
            return metadata + self._header
        return metadata + header(await aio.ask(self._function, seconds))
