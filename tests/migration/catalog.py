"""A schema as described by Postgres."""

from __future__ import annotations

from support.databases import execute

# By name: a column that a migration adds is the last one, wherever the metadata has it.
_COLUMNS = """
select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
       pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), attstorage, attcompression,
       attcollation::regcollation::text, attidentity, attgenerated
from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attnum > 0 and not attisdropped and attrelid in (select oid from ours) order by 1, 2
"""

_CONSTRAINTS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, condeferrable,
       obj_description(oid, 'pg_constraint')
from pg_constraint where conrelid in (select oid from ours) order by 1, 2
"""

_INDEXES = """
select indrelid::regclass::text, pg_get_indexdef(indexrelid), indisunique, indisprimary, indisvalid,
       obj_description(indexrelid, 'pg_class')
from pg_index where indrelid in (select oid from ours) order by 1, 2
"""

_TABLES = """
select relname, relkind, relpersistence, reloptions::text, relrowsecurity, obj_description(oid, 'pg_class')
from pg_class where oid in (select oid from ours) order by 1
"""

_OTHERS = """
select 'sequence', relname::text from pg_class
where relkind not in ('r', 'i', 't') and relnamespace = 'public'::regnamespace
union all
select 'function', proname::text from pg_proc where pronamespace = 'public'::regnamespace
union all
select 'trigger', tgname::text from pg_trigger where not tgisinternal
union all
select 'type', typname::text from pg_type
where typnamespace = 'public'::regnamespace and typtype in ('e', 'd')
order by 1, 2
"""

_OURS = """
with ours as (
    select oid from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'alembic_version'
)
"""


def describe(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return the description of the whole schema, without Alembic's own table."""
    return {
        "tables": execute(url, _OURS + _TABLES),
        "columns": execute(url, _OURS + _COLUMNS),
        "constraints": execute(url, _OURS + _CONSTRAINTS),
        "indexes": execute(url, _OURS + _INDEXES),
        "others": execute(url, _OTHERS),
    }
