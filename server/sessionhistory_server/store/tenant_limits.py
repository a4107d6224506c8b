"""The limits of tenants: set and unset them, list them, and see whether they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import too_many_limited_tenants
from sessionhistory_server.limits import MAX_LIMITED_TENANTS
from sessionhistory_server.model.tenant_limits import EVERY_TENANT, SetLimit
from sessionhistory_server.store import generations

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sessionhistory_server.store.postgres.connection import Connection

_READ: Final = "select tenant_id, name, value from limits where is_set order by tenant_id, name"

_CHANGED: Final = "select true from limits where generation > %(after)s::bigint limit 1"

_SET: Final = """
insert into limits (tenant_id, name, value, is_set, generation)
values (%(tenant_id)s::text, %(name)s::text, %(value)s::bigint, true, %(generation)s::bigint)
on conflict (tenant_id, name) do update
set value = excluded.value, is_set = true, generation = excluded.generation
"""

# The row stays, so that the servers see the change.
_UNSET: Final = """
update limits
set value = null, is_set = false, generation = %(generation)s::bigint
where tenant_id = %(tenant_id)s::text and name = any(%(names)s::text[]) and is_set
returning name
"""

_COUNT: Final = """
select count(distinct tenant_id) from limits where tenant_id <> %(every)s::text
"""


async def read(connection: Connection) -> list[SetLimit]:
    """Return all limits, in the order of their tenants and names; those of every tenant come first."""
    return [SetLimit(*row) for row in await connection.fetch(_READ, {})]


async def have_changed(connection: Connection, after: int) -> bool:
    """Return whether a limit has changed after a generation."""
    return bool(await connection.fetch(_CHANGED, {"after": after}))


async def set_limits(connection: Connection, tenant_id: str, limits: Mapping[str, int | None]) -> None:
    """Set limits of a tenant, or of ``EVERY_TENANT``, by their names.

    Raises:
        LimitReachedError: too many tenants have limits of their own.
    """
    async with connection.transaction():
        generation = await generations.take_next(connection)
        for name in sorted(limits):
            new = {"tenant_id": tenant_id, "name": name, "value": limits[name], "generation": generation}
            await connection.fetch(_SET, new)
        ((tenants,),) = await connection.fetch(_COUNT, {"every": EVERY_TENANT})
        if tenants > MAX_LIMITED_TENANTS:
            raise too_many_limited_tenants(MAX_LIMITED_TENANTS)


async def unset_limits(connection: Connection, tenant_id: str, names: Collection[str]) -> list[str]:
    """Unset limits of a tenant, or of ``EVERY_TENANT``; return the names of those that were set."""
    async with connection.transaction():
        generation = await generations.take_next(connection)
        parameters = {"tenant_id": tenant_id, "names": list(names), "generation": generation}
        return sorted(name for (name,) in await connection.fetch(_UNSET, parameters))
