"""Print the results of a command as JSON, for programs."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click


def show_result(found: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print one JSON object, or the equivalent text for people."""
    if as_json:
        show_json_line(found)
    else:
        click.echo(text)


def show_json(**found: Any) -> None:  # noqa: ANN401 - any value of the client's types
    """Print one JSON object in ASCII, so that it cannot contain control sequences of a terminal."""
    show_json_line(found)


def show_json_line(found: Any) -> None:  # noqa: ANN401 - any value of the client's types
    """Print a value as one line of JSON in ASCII."""
    click.echo(json.dumps(to_json(found)))


def to_json(value: Any) -> Any:  # noqa: ANN401 - any value of the client's types
    """Return a value for JSON: times in ISO 8601 and UTC, bytes in base64, dataclasses as objects.

    A number that Python cannot write as JSON becomes text: an integer with thousands of digits, or an
    infinite float.
    """
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Mapping():
            return {name: to_json(inner) for name, inner in value.items()}
        case tuple() | list():
            return [to_json(inner) for inner in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401 - any value of the client's types
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case float() if math.isinf(value):
            return str(Decimal(value))
    return value
