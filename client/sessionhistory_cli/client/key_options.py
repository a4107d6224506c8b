"""The arguments and options of the commands that manage API keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from sessionhistory import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

SCOPES: Final = [scope.value for scope in Scope if scope is not Scope.UNKNOWN]
MAX_ID_CHARACTERS: Final = 256
MAX_NAME_CHARACTERS: Final = 200
_MAX_OVERLAP: Final = timedelta(days=30)

_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{16}")
_SPAN: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse_span(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    span = _SPAN.fullmatch(value)
    overlap = timedelta(**{_UNITS[span["unit"]]: int(span["number"])}) if span else None
    if overlap is None or overlap > _MAX_OVERLAP:
        raise click.BadParameter("must be a span of at most 30 days, such as 0s, 30m, 12h or 2d")
    return overlap


def parse_expiry(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Return a coming time, which is given as such or as a span from now."""
    if value is None:
        return None
    now = datetime.now(UTC)
    try:
        if span := _SPAN.fullmatch(value):
            found = now + timedelta(**{_UNITS[span["unit"]]: int(span["number"])})
        else:
            found = datetime.fromisoformat(value)
            found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        found = now
    if found <= now:
        raise click.BadParameter(
            "must be a coming date or time in ISO 8601, in UTC if it names no zone; or a span from now, such"
            " as 12h or 90d"
        )
    return found


def at_least_one_scope(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Require a scope. click's own error for a missing option has several lines."""
    if not values:
        raise click.BadParameter(f"give at least one of {', '.join(SCOPES)}")
    return values


def at_most(characters: int) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Return a callback of click that limits the length of a text."""

    def check(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        if value is not None and len(value) > characters:
            raise click.BadParameter(f"must have at most {characters} characters")
        return value

    return check


def _check_key_id(_: click.Context, __: click.Parameter, value: str) -> str:
    if not _KEY_ID.fullmatch(value):
        raise click.BadParameter("must be the id of a key: 16 letters and digits, as `keys list` shows it")
    return value


key_argument: Final = click.argument("api_key_id", metavar="KEY_ID", callback=_check_key_id)

expiry_option: Final = click.option(
    "--expires", "expire_time", metavar="TIME", callback=parse_expiry, help="When the key expires."
)

overlap_option: Final = click.option(
    "--overlap",
    metavar="SPAN",
    default="1d",
    callback=_parse_span,
    help="How long the previous secret is still accepted.",
)
