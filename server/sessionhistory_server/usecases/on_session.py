"""Declare use cases that decide nothing: they run a function of the store on the caller's session.

Such a use case is one line in its class: the function of the store, and whether it reads or writes. Its
docstring, its result, and its arguments after the session's id are those of the function.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sessionhistory_server.store.session_ref import SessionRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.metering import Metering

P = ParamSpec("P")
T = TypeVar("T")


class SessionUseCases:
    """The base of classes that declare use cases."""

    def __init__(self, database: Database, metering: Metering) -> None:
        self._database = database
        self._metering = metering


def reads(
    work: Callable[Concatenate[Connection, SessionRef, P], Awaitable[T]],
) -> Callable[Concatenate[SessionUseCases, Caller, str, P], Coroutine[Any, Any, T]]:
    """Declare a use case that reads from a session."""

    @wraps(work)
    async def use_case(
        self: SessionUseCases, caller: Caller, session_id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        ref = SessionRef.of(caller, session_id)
        return await self._database.read(lambda connection: work(connection, ref, *args, **kwargs))

    return use_case


def writes(
    work: Callable[Concatenate[Connection, SessionRef, P], Awaitable[T]],
    *,
    long: bool = False,
    frees: bool = False,
) -> Callable[Concatenate[SessionUseCases, Caller, str, P], Coroutine[Any, Any, T]]:
    """Declare a use case that changes a session, whose row it locks.

    Args:
        work: Changes the session.
        long: Whether it may change many rows.
        frees: Whether it removes messages or the session, so that the tenant and the user store less.
    """

    @wraps(work)
    async def use_case(
        self: SessionUseCases, caller: Caller, session_id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        ref = SessionRef.of(caller, session_id)

        async def run(connection: Connection) -> T:
            return await work(connection, ref, *args, **kwargs)

        change = self._metering.measured(caller.tenant_id, ref, run) if frees else run
        return await self._database.write(change, lock=ref, long=long)

    return use_case
