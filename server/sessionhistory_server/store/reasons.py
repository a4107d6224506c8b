"""Why the database cannot be used, in the words of libpq or of the server, without any secret.

For connecting and probing alone: what other statements fail with can quote rows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg

from sessionhistory_server.store.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

# As libpq marks the options that hold a password.
_SECRET: Final = b"*"

# A whole URL where a name belongs, such as in PGHOST, is quoted as that name.
_USERINFO: Final = re.compile(r":[^\s:@\"']+@")


def reason(error: BaseException) -> str:
    """Return the first line of what a connection failed with, and its SQLSTATE, for logs and people."""
    text = str(error).partition("\n")[0] or "it does not answer"
    for secret in _secrets(error):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    sqlstate = getattr(error, "sqlstate", None)
    return _USERINFO.sub(":***@", text) + (f" (SQLSTATE {sqlstate})" if sqlstate else "")


def remembering(failures: MutableSequence[psycopg.Error]) -> type[Connection]:
    """Return a class for the connections of a pool, which by itself does not tell why it has none.

    Args:
        failures: Gets the errors of the attempts to connect.
    """

    class Remembering(Connection):
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 - psycopg's signature
            try:
                return await super().connect(*args, **kwargs)
            except psycopg.Error as error:
                failures.append(error)
                raise

    return Remembering


def _secrets(error: BaseException) -> Iterator[str]:
    """Yield what the connection took for its passwords, from wherever libpq takes them."""
    attempted = error.pgconn if isinstance(error, psycopg.Error) else None
    for option in attempted.info if attempted else ():
        if option.dispchar == _SECRET and option.val:
            yield option.val.decode(errors="replace")
