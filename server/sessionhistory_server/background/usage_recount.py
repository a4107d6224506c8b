"""Count again what tenants and users store.

That finds the sessions of servers that count nothing, and the changes of workers that were killed. A recount
corrects counts by differences, so changes that servers add meanwhile stay. A change that is committed, and
not added to the counts yet, counts twice until the next recount.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.background.jobs import Job
from sessionhistory_server.store import usage, usage_recount
from sessionhistory_server.store.usage import NOTHING, Owner, Usage
from sessionhistory_server.store.usage_recount import Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sessionhistory_server.background.jobs import JobDatabase

INTERVAL: Final = timedelta(minutes=10)
_LOOK_SECONDS: Final = 60.0
_PAUSE: Final = 4
"""After each step, the job pauses for this many times as long as the step took."""


def job() -> Job:
    """Return the job. It looks once a minute whether a recount is due."""
    return Job("usage recount", run_once, _LOOK_SECONDS, 4 * _LOOK_SECONDS)


async def run_once(database: JobDatabase, age: timedelta = INTERVAL) -> None:
    """Recount all tenants, unless a server has done so, or is doing so, within ``age``."""
    claimed = await database.write(partial(usage_recount.claim, age=age))
    if claimed is None:
        return
    recount = _Recount(database, claimed)
    for next_tenant in (usage_recount.next_tenant, usage_recount.next_counted_tenant):
        after = ""
        while (tenant_id := await database.read(partial(next_tenant, after=after))) is not None:
            if not await recount.recount_tenant(tenant_id):
                return
            after = tenant_id


class _Recount:
    """A recount that a server has claimed."""

    def __init__(self, database: JobDatabase, claimed: int) -> None:
        self._database = database
        self._claimed = claimed
        self._done: set[str] = set()

    async def recount_tenant(self, tenant_id: str) -> bool:
        """Correct the counts of a tenant; return ``False`` if another server has claimed the recount."""
        if tenant_id in self._done:
            return True
        self._done.add(tenant_id)
        for steps in (self._without_user(tenant_id), self._of_users(tenant_id)):
            began = time.monotonic()
            async for found in steps:
                changes = {Owner(tenant_id, user_id): each for user_id, each in found.items() if any(each)}
                correct = partial(usage_recount.correct, claimed=self._claimed, changes=changes)
                if not await self._database.write(correct):
                    return False
                await asyncio.sleep((time.monotonic() - began) * _PAUSE)  # leave the database to the calls
                began = time.monotonic()
        await self._database.write(partial(usage_recount.forget_empty, tenant_id=tenant_id))
        return True

    async def _without_user(self, tenant_id: str) -> AsyncIterator[dict[str, Usage]]:
        """Yield the correction of the sessions without a user after the last page, and nothing before."""
        owner = Owner(tenant_id, "")
        counted = (await self._database.read(partial(usage.read, keys=[owner])))[owner]
        found = NOTHING
        position: Position | None = Position()
        while position is not None:
            page = await self._database.read(
                partial(usage_recount.without_user, tenant_id=tenant_id, after=position)
            )
            found, position = found.plus(page.usage.get("", NOTHING)), page.end
            yield {"": found.minus(counted)} if position is None else {}

    async def _of_users(self, tenant_id: str) -> AsyncIterator[dict[str, Usage]]:
        """Yield the corrections of users, each after the last page of its sessions."""
        counted: dict[str, Usage] = {}
        found: dict[str, Usage] = {}
        position: Position | None = Position()
        while position is not None:
            page = await self._database.read(
                partial(usage_recount.of_users, tenant_id=tenant_id, after=position)
            )
            for user_id, measured in page.usage.items():
                found[user_id] = found.get(user_id, NOTHING).plus(measured)
            through = page.end.user_id if page.end else None
            async for some in self._counts(tenant_id, position.user_id, through):
                counted |= {user_id: count for user_id, count in some.items() if user_id in found}
                yield {
                    user_id: NOTHING.minus(count) for user_id, count in some.items() if user_id not in found
                }
            yield {
                user_id: found.pop(user_id).minus(counted.pop(user_id, NOTHING))
                for user_id in list(found)
                if user_id != through
            }
            position = page.end

    async def _counts(
        self, tenant_id: str, after: str, through: str | None
    ) -> AsyncIterator[dict[str, Usage]]:
        """Yield the counts of the users after one, and through another one if it is given."""
        while found := await self._database.read(
            partial(usage_recount.counts, tenant_id=tenant_id, after=after, through=through)
        ):
            yield found
            *_, after = found
