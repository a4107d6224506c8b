"""The SQLAlchemySession of the OpenAI Agents SDK, on asyncpg. Arguments: a libpq URL, and turns."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers import turns


@dataclass(frozen=True, slots=True)
class _Conversation:
    session: SQLAlchemySession

    async def turn(self) -> list[str]:
        await self.session.add_items([{"role": "user", "content": turns.USER_TEXT}])
        window = await self.session.get_items(limit=turns.WINDOW)
        await self.session.add_items([{"role": "assistant", "content": turns.ASSISTANT_TEXT}])
        return [item["content"] for item in window]


async def _main(url: str, turns_each: int) -> None:
    engine = create_async_engine(turns.sqlalchemy_url(url), pool_size=turns.CONVERSATIONS)
    await SQLAlchemySession("tables", engine=engine, create_tables=True).get_items()

    async def begin(_place: int) -> _Conversation:
        return _Conversation(SQLAlchemySession(str(uuid.uuid4()), engine=engine))

    await turns.serve(begin, turns_each)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
