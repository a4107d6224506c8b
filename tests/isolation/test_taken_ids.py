"""The one exception: a caller that creates a session learns that another caller of its tenant has the id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from named_fields import named_fields
from party import Party
from two_parties import KINDS, create, locked, newest_of, seen
from valid_requests import creating_ways

from support.fresh import fresh_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from named_fields import NamedField
    from valid_requests import Fields
    from watching import Watcher

    from conftest import Parties

_WITHIN_TENANT = [name for name, kind in KINDS.items() if kind.is_within_tenant]
_STATES = ("live", "completed", "deleted")


def _creations() -> Iterator[Any]:
    """Yield the fields with the id of a session that a call may create, and the changes of its request."""
    for field in named_fields():
        may_exist = "allow_existing" in field.method.input_type.fields_by_name
        ways = ({}, {"allow_existing": True})[: 1 + may_exist] if field.creates else creating_ways(field)
        for changes in ways if field.path[-1] == "session_id" or field.creates else ():
            yield pytest.param(field, changes, id=f"{field} {' '.join(changes)}")


@pytest.mark.parametrize(("field", "changes"), list(_creations()))
@pytest.mark.parametrize("kind", _WITHIN_TENANT)
async def test_a_creation_learns_only_that_the_id_is_taken(
    parties: Parties, watcher: Watcher, kind: str, field: NamedField, changes: Fields
) -> None:
    """Neither the state of the other session, nor a time, nor a name; and it does not wait for its lock."""
    owner, stranger = await parties(kind)
    own = None
    if field.method.name == "EnsureActiveSession":
        stranger, own = await _without_session(stranger, kind), "none"
        changes = changes | {"user_id": stranger.user_id}
    answers = set()
    for state in _STATES:
        taken = await create(owner, 1, state=state)
        before = await newest_of(owner)
        with locked(owner, taken):
            answers.add((await seen(watcher, stranger, field, taken, changes, own)).answer)
        assert await newest_of(owner) == before
    (answer,) = answers
    reason = "SESSION_EXISTS" if field.creates else "SESSION_NOT_FOUND"
    assert f"\n{reason} sessionhistory.v1 [('session_id', 'the thing')]" in f"\n{answer}"
    assert not [name for name in KINDS[kind].owner.values() if name in answer]


async def _without_session(stranger: Party, kind: str) -> Party:
    """Return a party like the stranger, of a user that has no session."""
    user_id = fresh_id()
    if "user_id" in KINDS[kind].stranger and KINDS[kind].has_keys:
        stranger = await Party.holding(stranger.service, stranger.database_url, user_id=user_id)
    return stranger._replace(user_id=user_id)


@pytest.mark.parametrize("kind", _WITHIN_TENANT)
@pytest.mark.parametrize("method", ["ForkSession", "ResetSession"])
async def test_a_copy_of_a_strangers_session_does_not_show_that_an_id_is_taken(
    parties: Parties, watcher: Watcher, kind: str, method: str
) -> None:
    """The session to copy is missing for the caller, whatever session has the new id."""
    owner, stranger = await parties(kind)
    (field,) = [each for each in named_fields() if str(each) == f"{method}.session_id"]
    theirs, taken = await create(owner, 1), await create(owner, 1)
    found = [
        await seen(watcher, stranger, field, value, {"new_session_id": new_id})
        for value in (theirs, fresh_id())
        for new_id in (taken, fresh_id())
    ]
    assert found.count(found[0]) == len(found)
    assert "SESSION_NOT_FOUND" in found[0].answer
