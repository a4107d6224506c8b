"""Media as parts of Gemini's contents, and back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sessionhistory.formats._content import base64_of, media_of
from sessionhistory.formats._mime_types import mime_type_of
from sessionhistory.types import MediaPart

if TYPE_CHECKING:
    from sessionhistory.formats._content import Json


def part_of_media(part: MediaPart) -> Json | None:
    """Return the part of a medium; ``None`` if it has no bytes, or no type."""
    if part.uri is not None and part.uri.startswith("data:"):
        part = media_of(part.uri)
    if part.uri is not None:
        mime_type = part.mime_type or mime_type_of(part.uri)
        told = {"mimeType": mime_type} if mime_type and "*" not in mime_type else {}
        return {"fileData": {**told, "fileUri": part.uri}}
    if not part.data or "/" not in part.mime_type:
        return None
    return {"inlineData": {"mimeType": part.mime_type, "data": base64_of(part)}}


def media_of_part(part: Json) -> MediaPart | None:
    """Return the medium of a part; ``None`` if a ``MediaPart`` would not make the same part again."""
    made = None
    match part:
        case {"inlineData": {"mimeType": str(mime_type), "data": str(data)}}:
            made = MediaPart(mime_type=mime_type, data=_bytes(data))
        case {"fileData": {"fileUri": str(uri), **rest}}:
            made = MediaPart(mime_type=str(rest.get("mimeType", "")), uri=uri)
    return made if made and part_of_media(made) == part else None


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:  # also of characters that are not ASCII
        return b""
