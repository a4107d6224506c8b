"""A stranger's write that names a session passes no gate of the owner's writes, and waits for no lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from named_fields import SESSION, named_fields
from two_parties import KINDS, OF_OWNER, call, create, locked, seen

from support.fresh import fresh_id
from support.locks import waiting
from support.waiting import until

if TYPE_CHECKING:
    from named_fields import NamedField
    from watching import Watcher

    from conftest import Parties

_WRITES = [
    field
    for field in named_fields()
    if field.noun == SESSION and not field.creates and not field.method.name.startswith(("Get", "List"))
]
_QUEUE = 4
"""More writes than a session may have in the database at a time."""


@pytest.mark.parametrize("field", _WRITES, ids=str)
async def test_a_stranger_does_not_wait_with_the_owner(
    parties: Parties, watcher: Watcher, field: NamedField
) -> None:
    """While writes of the owner wait for its session, a stranger gets the answer of a missing session."""
    for kind in KINDS:
        owner, stranger = await parties(kind)
        taken = await create(owner, OF_OWNER)
        missing = await seen(watcher, stranger, field, fresh_id(), {})
        with locked(owner, taken):
            calls = [call(owner, "UpdateState", session_id=taken, patch='{"a":1}') for _ in range(_QUEUE)]
            writes = [asyncio.create_task(each) for each in calls]
            await until(lambda url=owner.database_url: waiting(url))
            theirs = await seen(watcher, stranger, field, taken, {})
        await asyncio.gather(*writes)
        assert theirs == missing, kind
