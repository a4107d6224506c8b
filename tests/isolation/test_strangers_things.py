"""To name another caller's thing is to name a missing one: the answer, the statements, and their rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from named_fields import KEY, PAGE, SESSION, named_fields
from two_parties import KINDS, locked, newest_of, seen, things
from valid_requests import creating_ways, other_ways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from named_fields import NamedField
    from two_parties import Kind
    from valid_requests import Fields
    from watching import Watcher

    from conftest import Parties

_METHODS = {field.method.name: field.method for field in named_fields()}
_CASES = [(name, kind) for name in _METHODS for kind in KINDS if KINDS[kind].calls(_METHODS[name])]

# By field: why the owner, too, gets the same answer.
_ALIKE_FOR_ALL = {
    "CompactHistory.message.message_id": "it is the id of the summary, and names no stored message",
    "RefuseToken.token_id": "a token may be refused twice",
}


def _fields(method: str) -> list[NamedField]:
    return [field for field in named_fields() if field.method.name == method]


def _situations(field: NamedField, kind: Kind) -> Iterator[tuple[str, Fields]]:
    """Yield states of the owner's session or key, and changes of the request."""
    yield "live", {}
    if field.noun == KEY:
        yield "revoked", {}
        yield "certificate", {}
    if field.noun == SESSION:
        yield "completed", {}
        yield "deleted", {}
        for changes in other_ways(field) + (() if kind.is_within_tenant else creating_ways(field)):
            yield "live", changes


@pytest.mark.parametrize(("method", "kind"), _CASES)
async def test_a_strangers_thing_is_as_if_missing(
    parties: Parties, watcher: Watcher, caplog: pytest.LogCaptureFixture, method: str, kind: str
) -> None:
    """Also while a write of the owner has locked the session, and whatever state the session has.

    No log line of such a call names the owner, and nothing of the owner changes.
    """
    caplog.set_level(logging.DEBUG)
    owner, stranger = await parties(kind)
    for field in _fields(method):
        if field.creates and KINDS[kind].is_within_tenant:
            continue
        for state, changes in _situations(field, KINDS[kind]):
            made = await things(owner, field, state)
            before = await newest_of(owner)
            await seen(watcher, stranger, field, made.never, changes)  # reads what a server keeps in memory
            with locked(owner, made.session_id):
                caplog.clear()
                theirs = await seen(watcher, stranger, field, made.theirs, changes)
                missing = await seen(watcher, stranger, field, made.missing, changes)
            assert theirs == missing, (str(field), state, changes)
            assert (field.noun == PAGE) == ("INVALID_ARGUMENT" in theirs.answer), (str(field), changes)
            lines = " ".join(str(vars(record)) for record in caplog.records)
            assert not [name for name in KINDS[kind].owner.values() if name in lines], str(field)
            assert await newest_of(owner) == before, str(field)


@pytest.mark.parametrize("method", _METHODS)
async def test_the_owners_own_thing_is_found(parties: Parties, watcher: Watcher, method: str) -> None:
    """So each call above names a thing that exists: its owner gets another answer than for a missing one."""
    owner, _ = await parties("another tenant's")
    for field in _fields(method):
        if str(field) in _ALIKE_FOR_ALL:
            continue
        made = await things(owner, field, "deleted" if method == "UndeleteSession" else "live")
        missing, theirs = [
            await seen(watcher, owner, field, value, {}, made.session_id)
            for value in (made.missing, made.theirs)
        ]
        assert theirs.answer != missing.answer, str(field)
