"""The control of ``benchmarks.servers.control``, through aiohttp. Arguments: its address, and turns."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass

import aiohttp

from benchmarks.peers import turns


@dataclass(frozen=True, slots=True)
class _Conversation:
    client: aiohttp.ClientSession
    url: str

    async def turn(self) -> list[str]:
        await self._append("user", turns.USER_TEXT)
        async with self.client.get(f"{self.url}/history") as response:
            window = await response.json()
        await self._append("assistant", turns.ASSISTANT_TEXT)
        return [message["content"] for message in window]

    async def _append(self, role: str, text: str) -> None:
        message = {"role": role, "content": text}
        async with self.client.post(f"{self.url}/messages", json=message) as response:
            await response.json()


async def _main(target: str, turns_each: int) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as client:

        async def begin(_place: int) -> _Conversation:
            return _Conversation(client, f"http://{target}/sessions/{uuid.uuid4()}")

        await turns.serve(begin, turns_each)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
