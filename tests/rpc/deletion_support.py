"""A session that ends by deletion or by expiry. SQL moves its times, so no test waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rpc_support import NAMING, append, call, get, said

from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute

if TYPE_CHECKING:
    from support.service import Service

EXPIRE = (
    "update sessions set expire_time = now() - interval '1 second', purge_time = now() + interval '30 days'"
    " where session_id = 's'"
)
LIVE_ONLY = tuple(method for method in NAMING if method not in ("DeleteSession", "UndeleteSession"))


async def talk(service: Service, user_id: str = "", **fields: Any) -> spb.Session:
    """Make the session "s" of three messages, the first pinned."""
    messages = said(pinned=True), said(message_id="m"), said()
    await append(service, "s", *messages, user_id=user_id, new_session=spb.SessionFields(**fields))
    return await get(service)


async def end_session(service: Service, database_url: str, end: str) -> None:
    """Delete the session "s", or move its expiry into the past."""
    if end == "deleted":
        await call(service, "DeleteSession", "s")
    else:
        execute(database_url, EXPIRE)
