"""Read enums and fields that track presence, for the conversions of all topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


def enum_names(kind: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """Return the names of an enum's values in ``model``, without the prefix of the contract."""
    return {value: name.removeprefix(prefix) for name, value in kind.items()}


def optional(message: Any, field: str) -> Any:  # noqa: ANN401 - any message's any field
    """Return the value of a field that tracks presence, ``None`` if it is absent."""
    return getattr(message, field) if message.HasField(field) else None
