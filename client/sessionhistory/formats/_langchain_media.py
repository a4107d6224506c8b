"""Images, sounds and documents as LangChain's blocks of content, and back."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from sessionhistory.types import MediaPart

if TYPE_CHECKING:
    from sessionhistory.formats._content import Json

_KINDS: Final = ("image", "audio", "video", "file")


def written_medium(part: MediaPart, data: str) -> Json:
    """Return a medium as a block.

    Args:
        part: The medium.
        data: Its bytes in base64.
    """
    kind = part.mime_type.partition("/")[0] if part.mime_type else "image"
    block: Json = {"type": kind if kind in _KINDS else "file"}
    block |= {"base64": data} if part.uri is None else {"url": part.uri}
    return block | ({"mime_type": part.mime_type} if part.mime_type else {})


def read_medium(block: Json) -> MediaPart | None:
    """Return the medium of a block, also in the older form with ``source_type``; ``None`` if it is none."""
    mime_type = block.get("mime_type") or ""
    if block["type"] not in _KINDS or not isinstance(mime_type, str):
        return None
    if isinstance(url := block.get("url"), str):
        return MediaPart(mime_type=mime_type, uri=url)
    data = block.get("data") if block.get("source_type") == "base64" else block.get("base64")
    try:
        return (
            MediaPart(mime_type=mime_type, data=base64.b64decode(data, validate=True))
            if isinstance(data, str)
            else None
        )
    except (binascii.Error, TypeError, ValueError):
        return None
