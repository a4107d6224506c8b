"""Find the reason why a connection failed, in the words of libpq or Postgres, without secrets.

This is only for the errors of connections and probes. The errors of other statements can quote rows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg

from sessionhistory_server.store.postgres.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

# The mark of libpq for options that contain a password.
_SECRET: Final = b"*"

# libpq quotes a whole URL as a name if it stands where a name belongs, such as in PGHOST.
_USERINFO: Final = re.compile(r":[^\s:@\"']+@")


def failure_reason(error: BaseException) -> str:
    """Return the first line of an error and its SQLSTATE, for logs and people."""
    text = one_line(str(error)) or "it does not answer"
    for secret in _secrets(error):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    sqlstate = getattr(error, "sqlstate", None)
    return text + (f" (SQLSTATE {sqlstate})" if sqlstate else "")


def one_line(text: str) -> str:
    """Return the first line of a text of libpq, without the password of a URL in it."""
    return _USERINFO.sub(":***@", text.partition("\n")[0])


def keeping_failures(failures: MutableSequence[psycopg.Error]) -> type[Connection]:
    """Return a class for the connections of a pool that keeps the errors of connecting.

    The pool itself does not report why it has no connection.

    Args:
        failures: The list to which the class adds the errors.
    """

    class KeepingFailures(Connection):
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 - psycopg's signature
            try:
                return await super().connect(*args, **kwargs)
            except psycopg.Error as error:
                failures.append(error)
                raise

    return KeepingFailures


def _secrets(error: BaseException) -> Iterator[str]:
    """Yield the passwords of a connection, from all sources of libpq."""
    attempted = error.pgconn if isinstance(error, psycopg.Error) else None
    for option in attempted.info if attempted else ():
        if option.dispchar == _SECRET and option.val:
            yield option.val.decode(errors="replace")
