"""The control: what a team writes at first instead of Session History, with FastAPI and asyncpg, on uvicorn.

This is a program. Its arguments are a port and a libpq URL. It needs the packages of the peers. An append
assigns the sequence and inserts, in one statement; a window is the newest 20 messages. A repeated append is
stored twice. A window may cut a tool call from its result. There are no counters, limits and credentials.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

_SCHEMA = """
create table if not exists messages (
    session_id text, sequence bigint, role text not null, content text not null,
    create_time timestamptz not null default now(), primary key (session_id, sequence)
)
"""
_APPEND = """
insert into messages (session_id, sequence, role, content)
select $1, coalesce(max(sequence), 0) + 1, $2, $3 from messages where session_id = $1
returning sequence, create_time
"""
_WINDOW = """
select sequence, role, content, create_time from messages where session_id = $1
order by sequence desc limit 20
"""


class Message(BaseModel):
    """A message that a caller stores."""

    role: str
    content: str


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(sys.argv[2], min_size=8, max_size=8) as app.state.pool:
        await app.state.pool.execute(_SCHEMA)
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/sessions/{session_id}/messages")
async def append(session_id: str, message: Message) -> dict[str, Any]:
    """Store a message."""
    return dict(await app.state.pool.fetchrow(_APPEND, session_id, message.role, message.content))


@app.get("/sessions/{session_id}/history")
async def window(session_id: str) -> list[dict[str, Any]]:
    """Return the newest messages, the oldest first."""
    return [dict(row) for row in reversed(await app.state.pool.fetch(_WINDOW, session_id))]


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
