"""The PostgresChatMessageHistory of LangChain, on psycopg. Arguments: a libpq URL, and turns.

It has no window: the program reads all messages and takes the newest.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass

import psycopg
from langchain_core.messages import AIMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory

from benchmarks.peers import turns

_TABLE = "langchain_messages"


@dataclass(frozen=True, slots=True)
class _Conversation:
    history: PostgresChatMessageHistory

    async def turn(self) -> list[str]:
        await self.history.aadd_messages([HumanMessage(turns.USER_TEXT)])
        window = (await self.history.aget_messages())[-turns.WINDOW :]
        await self.history.aadd_messages([AIMessage(turns.ASSISTANT_TEXT)])
        return [message.content for message in window]


async def _main(url: str, turns_each: int) -> None:
    # Each conversation has a connection, because a connection runs one statement at a time.
    connections = [await psycopg.AsyncConnection.connect(url) for _ in range(turns.CONVERSATIONS)]
    await PostgresChatMessageHistory.acreate_tables(connections[0], _TABLE)

    async def begin(place: int) -> _Conversation:
        history = PostgresChatMessageHistory(_TABLE, str(uuid.uuid4()), async_connection=connections[place])
        return _Conversation(history)

    await turns.serve(begin, turns_each)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
