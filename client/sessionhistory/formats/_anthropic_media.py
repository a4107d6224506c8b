"""Images and documents as blocks of Anthropic's Messages API, and back."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._anthropic_checks import IMAGE_TYPES
from sessionhistory.formats._content import base64_of, media_of
from sessionhistory.formats._mime_types import mime_type_of
from sessionhistory.types import MediaPart

if TYPE_CHECKING:
    from sessionhistory.formats._content import Json

ANY_IMAGE: Final = "image/*"
"""The type of an image of which a request has only the URL."""

_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"
_MEMBERS: Final = {"type", "source"}


def block_of_media(part: MediaPart) -> Json | None:
    """Return the block of a medium; ``None`` if the API takes none of its type."""
    if part.uri is not None and part.uri.startswith("data:"):
        part = media_of(part.uri)
    mime_type = part.mime_type.lower() or mime_type_of(part.uri or "")
    kind = "image" if mime_type.startswith("image/") else "document"
    source = _source_of_data(mime_type, part) if part.uri is None else _source_of_url(mime_type, part.uri)
    return {"type": kind, "source": source} if source else None


def media_of_block(block: Json) -> MediaPart | None:
    """Return the medium of a block; ``None`` if a ``MediaPart`` would not make the same block again."""
    if block.get("type") not in ("image", "document") or block.keys() != _MEMBERS:
        return None
    made = _part(block["type"], block["source"])
    return made if made and block_of_media(made) == block else None


def _source_of_data(mime_type: str, part: MediaPart) -> Json | None:
    if not part.data:
        return None
    if mime_type in (*IMAGE_TYPES, _PDF):
        return {"type": "base64", "media_type": mime_type, "data": base64_of(part)}
    if mime_type == _PLAIN:
        text = part.data.decode("utf-8", "replace")
        return {"type": "text", "media_type": _PLAIN, "data": text} if text.strip() else None
    return None


def _source_of_url(mime_type: str, uri: str) -> Json | None:
    fits = mime_type in (*IMAGE_TYPES, ANY_IMAGE, _PDF) and uri.startswith(("https://", "http://"))
    return {"type": "url", "url": uri} if fits else None


def _part(kind: str, source: Any) -> MediaPart | None:  # noqa: ANN401 - any JSON
    try:
        match source:
            case {"type": "base64", "media_type": str(mime_type), "data": str(data)}:
                return MediaPart(mime_type=mime_type, data=base64.b64decode(data, validate=True))
            case {"type": "text", "media_type": str(mime_type), "data": str(data)}:
                return MediaPart(mime_type=mime_type, data=data.encode())
            case {"type": "url", "url": str(url)}:
                return MediaPart(mime_type=ANY_IMAGE if kind == "image" else _PDF, uri=url)
    except (binascii.Error, ValueError):
        return None
    return None
