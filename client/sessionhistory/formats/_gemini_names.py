"""The names in Gemini's JSON, which the API has in two forms: ``usageMetadata`` and ``usage_metadata``."""

from __future__ import annotations

import re
from typing import Any, Final

_AS_THEY_ARE: Final = ("args", "response", "partMetadata", "structValue")
"""The members whose values are the caller's own JSON."""

_UNDERSCORE: Final = re.compile(r"_([a-z])")


def camel(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with names like ``usageMetadata``, and without members that are null."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = ((_UNDERSCORE.sub(lambda match: match[1].upper(), name), one) for name, one in value.items())
    return {name: one if name in _AS_THEY_ARE else camel(one) for name, one in named if one is not None}
