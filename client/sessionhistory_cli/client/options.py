"""The arguments and options that several of the client's commands have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory import Role, SessionStatus, UnansweredCalls

if TYPE_CHECKING:
    from collections.abc import Callable

ROLES: Final = [role.value for role in Role if role is not Role.UNKNOWN]
STATUSES: Final = [status.value for status in SessionStatus if status is not SessionStatus.UNKNOWN]
UNANSWERED_CALLS: Final = [word.value for word in UnansweredCalls if word is not UnansweredCalls.UNKNOWN]

_MAX_LIMIT: Final = 1_000_000_000
_SPAN: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse_time(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time in ISO 8601, in UTC if it names no zone, or a span before now."""
    try:
        if value is None:
            return None
        if span := _SPAN.fullmatch(value):
            return datetime.now(UTC) - timedelta(**{_UNITS[span["unit"]]: int(span["number"])})
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "must be a date or time in ISO 8601, such as 2026-05-31 or 2026-05-31T18:30+02:00, in UTC if it"
            " names no zone; or a span before now, such as 30m, 3h or 2d"
        ) from None


session_argument: Final = click.argument("session_id", metavar="SESSION")

user_option: Final = click.option(
    "--user", "user_id", metavar="ID", help="User to act for; sessions of other users are not found."
)

yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")

full_option: Final = click.option("--full", is_flag=True, help="Do not shorten long texts.")


def limit_option(things: str) -> Callable[[Any], Any]:
    """Return the option ``--limit``."""
    return click.option(
        "--limit", type=click.IntRange(1, _MAX_LIMIT), default=20, help=f"Maximum number of {things}."
    )


def time_options(word: str, field: str, help_text: str) -> Callable[[Any], Any]:
    """Return the options ``--WORD-after`` and ``--WORD-before`` for a time in a filter.

    Args:
        word: The beginning of both options.
        field: The field of the filter, without ``_after`` and ``_before``.
        help_text: The help of both options, without its last words, "after …" or "before …".
    """

    def decorate(command: Any) -> Any:  # noqa: ANN401 - a function or a command of click
        for side in ("before", "after"):
            flag, name = f"--{word}-{side}", f"{field}_{side}"
            text = f"{help_text} {side} this time."
            command = click.option(flag, name, metavar="TIME", callback=_parse_time, help=text)(command)
        return command

    return decorate
