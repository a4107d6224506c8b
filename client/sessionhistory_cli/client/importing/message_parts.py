"""Parse the parts of messages, as the contract or OpenAI's API writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sessionhistory.types import JsonPart, MediaPart, Part, ReasoningPart, TextPart
from sessionhistory_cli.client.importing.field_values import base64_bytes, decoded, json_text

if TYPE_CHECKING:
    from sessionhistory_cli.client.importing.json_fields import JsonFields

_DATA_URL: Final = re.compile(r"data:(?P<mime_type>[^;,]*)(?:;[^;,]*)*;base64,")
_REASONING: Final = ("opaque", "signature")
_MEDIA: Final = ("mime_type", "mimeType", "uri", "data")


def parse_part(fields: JsonFields) -> Part:
    """Return a part as the commands print it, or as the contract's JSON has it.

    Raises:
        BadFieldError: a field is missing or wrong.
    """
    if inner := fields.object("media"):
        return _media(inner)
    if inner := fields.object("reasoning"):
        return _reasoning(inner)
    return _printed_part(fields)


def _printed_part(fields: JsonFields) -> Part:
    """Return a part whose kind only the names of its fields tell."""
    if fields.has("json"):
        return JsonPart(json_text(fields, "json", fields.required("json", str)))
    if fields.has("value"):
        return JsonPart(fields.any("value"))
    if fields.has(*_MEDIA):
        return _media(fields)
    if fields.has(*_REASONING):
        return _reasoning(fields)
    return TextPart(fields.required("text", str))


def _media(fields: JsonFields) -> MediaPart:
    return MediaPart(
        mime_type=fields.optional("mime_type", str) or "",
        uri=fields.optional("uri", str),
        data=base64_bytes(fields, "data"),
    )


def _reasoning(fields: JsonFields) -> ReasoningPart:
    return ReasoningPart(
        fields.optional("text", str) or "",
        opaque=fields.optional("opaque", str) or "",
        signature=fields.optional("signature", str) or "",
    )


def parse_content_part(fields: JsonFields) -> Part:
    """Return a part of the content of OpenAI's API.

    Raises:
        BadFieldError: a field is missing or wrong.
    """
    match fields.required("type", str):
        case "text":
            return TextPart(fields.required("text", str))
        case "image_url":
            return _image(fields.required_object("image_url"))
    raise fields.error("type", "must be text or image_url")


def _image(fields: JsonFields) -> MediaPart:
    """Return an image by its URL, or with the bytes of a data URL."""
    url = fields.required("url", str)
    data_url = _DATA_URL.match(url)
    if not data_url:
        return MediaPart(uri=url)
    return MediaPart(mime_type=data_url["mime_type"], data=decoded(fields, "url", url[data_url.end() :]))
