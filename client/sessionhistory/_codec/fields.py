"""Build messages of the contract from their fields, and read fields that may be absent.

If protobuf cannot hold a value, the client refuses it as the server refuses an invalid value: it raises
``InvalidFieldError`` with the path of the field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import FieldDescriptor

from sessionhistory.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PYTHON_TYPES: Final = {
    FieldDescriptor.TYPE_STRING: "str",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int",
    FieldDescriptor.TYPE_INT64: "int",
}

M = TypeVar("M")
V = TypeVar("V")


def build(kind: Callable[..., M], path: str = "", /, **fields: Any) -> M:  # noqa: ANN401 - of any message
    """Return a message of the fields that are not ``None``; ``path`` is its place in the request."""
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        return kind(**present)
    except (TypeError, ValueError):
        for name, value in present.items():
            _refuse_unfit(kind, path, name, value)
        raise


def below(path: str, name: str) -> str:
    """Return the path of a field of the message at ``path``."""
    return f"{path}.{name}" if path else name


def encode_list(encode: Callable[[Any, str], V], values: object, path: str) -> list[V]:
    """Encode each value of a list; errors name its index."""
    if not isinstance(values, Iterable):
        raise invalid_field(path, f"must be a list or a tuple, not {type(values).__name__}")
    return [encode(value, f"{path}[{index}]") for index, value in enumerate(values)]


def encode_named(
    encoders: Mapping[str, Callable[[Any, str], Any]], values: Mapping[str, Any], path: str = ""
) -> dict[str, Any]:
    """Encode each value by the encoder of its name; a name without an encoder keeps its value."""
    return {
        name: encoders[name](value, below(path, name)) if name in encoders else value
        for name, value in values.items()
    }


def decode_tuple(decode: Callable[[Any], V], sources: Sequence[Any]) -> tuple[V, ...]:
    """Decode each message of a repeated field."""
    # Iterating over an empty protobuf list is slow, and most messages have no tool calls and no parts.
    return tuple(map(decode, sources)) if sources else ()


def optional(source: Any, name: str) -> Any:  # noqa: ANN401 - a field of any message
    """Return a field of a message, ``None`` if it is not set."""
    return getattr(source, name) if source.HasField(name) else None


def require_type(value: object, kind: type, path: str) -> None:
    """Refuse a value that is not of the client's own type."""
    if not isinstance(value, kind):
        raise invalid_field(path, f"must be a {kind.__name__}, not {type(value).__name__}")


def refuse_unknown(given: Mapping[str, object], known: type, method: str) -> None:
    """Raise ``TypeError`` for a keyword argument that ``known``, a ``TypedDict``, does not have."""
    for unknown in given.keys() - known.__annotations__.keys():
        raise TypeError(f"{method}() got an unexpected keyword argument {unknown!r}")


def invalid_field(path: str, description: str) -> InvalidFieldError:
    """Return the error for a value that cannot be sent."""
    return InvalidFieldError(
        f"{path}: {description}",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_FIELD",
        violations=(FieldViolation(path, description),),
    )


def _refuse_unfit(kind: Any, path: str, name: str, value: object) -> None:  # noqa: ANN401 - class of any message
    """Raise an error if the message cannot hold this value in this field."""
    try:
        kind(**{name: value})
    except UnicodeError:  # protobuf's errors may quote the value
        rule = "must be valid Unicode: it holds half of a surrogate pair"
    except TypeError:
        expected = _PYTHON_TYPES.get(kind.DESCRIPTOR.fields_by_name[name].type)
        found = type(value).__name__
        rule = f"must be {expected}, not {found}" if expected else f"cannot be made of this {found}"
    except ValueError:
        rule = "is out of the range of the field"
    else:
        return
    raise invalid_field(below(path, name), rule) from None
