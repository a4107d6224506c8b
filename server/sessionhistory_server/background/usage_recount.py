"""Count the stored sessions and bytes of tenants and users again.

The recount finds the sessions of servers that count nothing, and the changes of workers that were killed. A
count that differs from the sessions may only be late. So the recount compares it twice. In the pause each
worker writes its changes. The recount corrects a count only if the changes during the pause cannot explain
the difference. It adds the difference to the count, so that changes that servers write meanwhile stay.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sessionhistory_server.background.jobs import Job, JobBusyError
from sessionhistory_server.store import usage, usage_recount
from sessionhistory_server.store.usage import NOTHING, Owner, Usage
from sessionhistory_server.store.usage_recount import Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sessionhistory_server.background.jobs import JobDatabase
    from sessionhistory_server.store.postgres.database import Work

T = TypeVar("T")

INTERVAL: Final = timedelta(minutes=10)
_LOOK_SECONDS: Final = 60.0
_PAUSE: Final = 4
"""After each page, the job pauses for this many times as long as the page took."""
SETTLE_SECONDS: Final = 10.0
"""The pause between two comparisons, in which each worker writes its changes at least once."""
SUSPECTS: Final = 10_000
"""The maximum number of counts that wait for the end of this pause."""
_ATTEMPTS: Final = 50
_ATTEMPT_SECONDS: Final = 0.1


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
            await recount.compare_tenant(tenant_id)
            after = tenant_id
    await recount.correct(0)


class _Difference(NamedTuple):
    """The sessions and bytes of a user, and their count, at a time by the monotonic clock."""

    stored: Usage
    counted: Usage
    time: float

    @property
    def missing(self) -> Usage:
        """The sessions and bytes that the count lacks."""
        return self.stored.minus(self.counted)

    def correction(self, later: _Difference) -> Usage:
        """Return the correction of the count, from the differences before and after a pause."""
        return Usage(
            *(
                _lasting(*missing, abs(stored[1] - stored[0]) + abs(counted[1] - counted[0]))
                for missing, stored, counted in zip(
                    zip(self.missing, later.missing, strict=True),
                    zip(self.stored, later.stored, strict=True),
                    zip(self.counted, later.counted, strict=True),
                    strict=True,
                )
            )
        )


def _lasting(before: int, after: int, moved: int) -> int:
    """Return the smaller of two differences; 0 if the changes between them, ``moved``, may explain it."""
    smaller = min(before, after, key=abs)
    return smaller if before * after > 0 and abs(smaller) > moved else 0


class _Recount:
    """A recount that a server has claimed.

    Args:
        database: The database.
        claimed: The number of the claim.
    """

    def __init__(self, database: JobDatabase, claimed: int) -> None:
        self._database = database
        self._claimed = claimed
        self._done: set[str] = set()
        self._suspects: dict[Owner, _Difference] = {}
        """The counts that differed, in the order of time."""

    async def compare_tenant(self, tenant_id: str) -> None:
        """Compare the counts of a tenant, and correct those that have differed for long enough.

        Raises:
            JobBusyError: another server has claimed the recount.
        """
        if tenant_id in self._done:
            return
        self._done.add(tenant_id)
        await self._compare(Owner(tenant_id, ""))
        async for found in self._of_users(tenant_id):
            self._suspects |= found
            await self.correct(SUSPECTS)
        await self._write_patiently(partial(usage_recount.forget_empty, tenant_id=tenant_id))

    async def correct(self, maximum: int) -> None:
        """Correct the counts that still differ after the pause, until few enough wait for its end.

        Raises:
            JobBusyError: another server has claimed the recount.
        """
        changes: dict[Owner, Usage] = {}
        while self._suspects and (
            len(self._suspects) > maximum or _age(next(iter(self._suspects.values()))) >= SETTLE_SECONDS
        ):
            owner, before = next(iter(self._suspects.items()))
            await asyncio.sleep(SETTLE_SECONDS - _age(before))
            del self._suspects[owner]
            change = before.correction(await self._difference(owner))
            changes |= {owner: change} if any(change) else {}
            if len(changes) == usage.MAX_AT_ONCE:
                await self._write(changes)
                changes = {}
        await self._write(changes)

    async def _write(self, changes: dict[Owner, Usage]) -> None:
        """Write corrections, and renew the claim."""
        correct = partial(usage_recount.correct, claimed=self._claimed, changes=changes)
        if not await self._write_patiently(correct):
            raise JobBusyError

    async def _write_patiently(self, work: Work[T]) -> T:
        """Write, and wait while other servers look for a moment whether a recount is due."""
        for _ in range(_ATTEMPTS):
            with suppress(JobBusyError):
                return await self._database.write(work)
            await asyncio.sleep(_ATTEMPT_SECONDS)
        raise JobBusyError

    async def _compare(self, owner: Owner) -> None:
        found = await self._difference(owner)
        if any(found.missing):
            self._suspects[owner] = found

    async def _difference(self, owner: Owner) -> _Difference:
        """Measure the sessions of a user, or those without one, and read the count."""
        counted = (await self._database.read(partial(usage.read, keys=[owner])))[owner]
        stored = NOTHING
        position: Position | None = Position(owner.user_id)
        while position is not None:
            measure = partial(usage_recount.of_owner, owner=owner, after=position)
            page = await self._read_gently(measure)
            stored, position = stored.plus(page.usage.get(owner.user_id, NOTHING)), page.end
        return _Difference(stored, counted, time.monotonic())

    async def _of_users(self, tenant_id: str) -> AsyncIterator[dict[Owner, _Difference]]:
        """Yield the differences of users, each after the last page of its sessions."""
        counted: dict[str, Usage] = {}
        stored: dict[str, Usage] = {}
        position: Position | None = Position()
        while position is not None:
            page = await self._read_gently(
                partial(usage_recount.of_users, tenant_id=tenant_id, after=position)
            )
            for user_id, measured in page.usage.items():
                stored[user_id] = stored.get(user_id, NOTHING).plus(measured)
            through = page.end.user_id if page.end else None
            async for some in self._counts(tenant_id, position.user_id, through):
                yield _differing(
                    tenant_id, {user_id: NOTHING for user_id in some if user_id not in stored}, some
                )
                counted |= {user_id: count for user_id, count in some.items() if user_id in stored}
            ended = {user_id: stored.pop(user_id) for user_id in list(stored) if user_id != through}
            yield _differing(tenant_id, ended, counted)
            counted = {user_id: count for user_id, count in counted.items() if user_id == through}
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

    async def _read_gently(self, work: Work[T]) -> T:
        """Read, and leave the database to the calls for a while."""
        began = time.monotonic()
        found = await self._database.read(work)
        await asyncio.sleep((time.monotonic() - began) * _PAUSE)
        return found


def _differing(
    tenant_id: str, stored: Mapping[str, Usage], counted: Mapping[str, Usage]
) -> dict[Owner, _Difference]:
    now = time.monotonic()
    return {
        Owner(tenant_id, user_id): _Difference(usage, counted.get(user_id, NOTHING), now)
        for user_id, usage in stored.items()
        if usage != counted.get(user_id, NOTHING)
    }


def _age(found: _Difference) -> float:
    return time.monotonic() - found.time
