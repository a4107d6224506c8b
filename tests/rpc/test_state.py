"""UpdateState: the state after a patch, its version, and the refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import MAX_INT64, append, call, create, fresh_id, get, nested, said, update

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

KIB = 1024
COMPLETED = spb.SESSION_STATUS_COMPLETED

# The state of a library for guided conversations: the collected data, in all and for each route, the present
# step and the steps before it.
GUIDED = (
    '{"collected": {"name": "Zoë \\u00e9", "order_id": 9007199254740993, "price": 19.90, "tags": []},'
    ' "routes": {"booking": {"guests": 2, "total": 1e400}, "support": {}},'
    ' "current_route": "booking", "current_step": {"id": "confirm", "prompted": true},'
    ' "route_history": [{"route": "support", "steps": ["ask", "answer"], "at": 1767268800000000001},'
    ' {"route": "booking", "steps": []}]}'
)


async def patch(service: Service, session_id: str, text: str, **fields: Any) -> spb.Session:
    """Patch the state of a session."""
    session: spb.Session = (await call(service, "UpdateState", session_id, patch=text, **fields)).session
    return session


async def test_a_guided_conversation_keeps_its_state(shared: Service) -> None:
    """A patch changes the members that it names; all others keep their text, down to the last digit."""
    session_id = fresh_id()
    assert (await create(shared, session_id, state=GUIDED)).state == GUIDED
    steps = {
        '{"collected": {"phone": "+41 44 000 00 00", "order_id": 9007199254740995}}': (
            ("9007199254740993", "9007199254740995"),
            ('"tags": []', '"tags": [],"phone": "+41 44 000 00 00"'),
        ),
        '{"current_step": {"id": "pay", "prompted": null}}': (
            ('{"id": "confirm", "prompted": true}', '{"id": "pay"}'),
        ),
        '{"routes": {"booking": {"total": 2e400}, "support": null}}': (
            ('{"booking": {"guests": 2, "total": 1e400}, "support": {}}',) * 2,
        ),
    }
    expected = GUIDED
    for text, changes in list(steps.items())[:2]:
        for old, new in changes:
            expected = expected.replace(old, new)
        assert (await patch(shared, session_id, text)).state == expected
    third = list(steps)[2]
    expected = expected.replace('"total": 1e400}, "support": {}', '"total": 2e400}')
    after = await patch(shared, session_id, third)
    assert after.state == expected
    assert json.loads(after.state)["route_history"] == json.loads(GUIDED)["route_history"]
    assert await get(shared, session_id) == after


async def test_a_patch_makes_the_first_state(shared: Service) -> None:
    """The first patch of a session makes its state; an empty patch makes an empty object."""
    session = await create(shared, fresh_id())
    assert (await patch(shared, session.session_id, ' { "a" : 1.0 , "b" : null } ')).state == '{ "a" : 1.0 }'
    session = await create(shared, fresh_id())
    assert (await patch(shared, session.session_id, "{}")).state == "{}"


async def test_a_patch_changes_the_state_alone(shared: Service) -> None:
    """A patch changes state, state_version, etag and update_time only, in any status."""
    session_id = fresh_id()
    await create(shared, session_id, user_id="u", title="t", state='{"a":1}', labels={"l": "v"})
    await append(shared, session_id, said())
    before = await update(shared, session_id, status=COMPLETED)
    after = await patch(shared, session_id, '{"a":2}', user_id="u")
    assert (after.state, after.state_version) == ('{"a":2}', 1)
    assert after.etag != before.etag
    assert after.update_time.ToMicroseconds() > before.update_time.ToMicroseconds()
    for field in ("state", "state_version", "etag", "update_time"):
        before.ClearField(field)
        after.ClearField(field)
    assert after == before


async def test_the_version_counts_each_setting_of_the_state(shared: Service) -> None:
    """UpdateState, appends with a patch and UpdateSession count the version up; other calls do not.

    A patch counts even if the text stays the same.
    """
    session_id = fresh_id()
    versions = [(await create(shared, session_id, state='{"a":1}')).state_version]
    versions.append((await patch(shared, session_id, '{"a":2}')).state_version)
    versions.append((await patch(shared, session_id, "{}")).state_version)
    versions.append((await append(shared, session_id, said(), state_patch='{"b":1}')).state_version)
    versions.append((await update(shared, session_id, state='{"c":1}')).state_version)
    versions.append((await update(shared, session_id, "state")).state_version)
    versions.append((await update(shared, session_id, "*", title="t")).state_version)
    assert versions == [0, 1, 2, 3, 4, 5, 6]
    await update(shared, session_id, title="another", status=COMPLETED)
    await update(shared, session_id, status=spb.SESSION_STATUS_ACTIVE)
    await append(shared, session_id, said())
    await call(shared, "DeleteSession", session_id)
    await call(shared, "UndeleteSession", session_id)
    assert (await get(shared, session_id)).state_version == 6
    await call(shared, "DeleteSession", session_id, purge=True)
    assert (await create(shared, session_id, state="{}")).state_version == 0


async def test_an_expected_version_guards_a_patch(shared: Service) -> None:
    """With the present version the patch is applied; with another one it is ABORTED and changes nothing."""
    session_id = fresh_id()
    await create(shared, session_id)
    first = await patch(shared, session_id, '{"a":1}', expected_state_version=0)
    for expected in (0, 2, MAX_INT64):
        with fails("ABORTED", "STATE_VERSION_MISMATCH") as failure:
            await patch(shared, session_id, '{"a":2}', expected_state_version=expected)
        assert failure.metadata == {"session_id": session_id, "actual_state_version": "1"}
    assert await get(shared, session_id) == first
    assert (await patch(shared, session_id, '{"a":2}', expected_state_version=1)).state_version == 2


@pytest.mark.parametrize(
    "bad",
    [
        "", "[]", "null", '"a"', "{", '{"a":1,}', '{"a":NaN}', '{"a":"\0"}', "{}{}", "  ", nested(100),
        nested(50_000), '{"a":"%s"}' % ("x" * (256 * KIB - 7)),
    ],
)  # fmt: skip
async def test_what_is_no_patch(shared: Service, bad: str) -> None:
    """A patch is a JSON object of at most 256 KiB and 100 levels."""
    session = await create(shared, fresh_id(), state='{"a":1}')
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await patch(shared, session.session_id, bad)
    assert list(failure.violations) == ["patch"]
    if bad:
        for method in ("AppendMessage", "AppendMessages"):
            with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
                await call(shared, method, session.session_id, state_patch=bad)
            assert list(failure.violations) == ["state_patch"]
    assert await get(shared, session.session_id) == session


@pytest.mark.parametrize("method", ["UpdateState", "AppendMessage", "AppendMessages"])
async def test_an_expected_version_is_not_negative(shared: Service, method: str) -> None:
    """A negative expected version is refused."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(shared, method, fresh_id(), expected_state_version=-1)
    assert list(failure.violations) == ["expected_state_version"]


async def test_the_largest_state(shared: Service) -> None:
    """A state has at most 256 KiB after a patch; a larger one is refused, and nothing changes."""
    session_id = fresh_id()
    half = '{"%s":"%s"}'
    await create(shared, session_id, state=half % ("a", "x" * (128 * KIB)))
    rest = 256 * KIB - len(half % ("a", "x" * (128 * KIB))) - len(',"b":""')
    full = await patch(shared, session_id, half % ("b", "y" * rest))
    assert len(full.state) == 256 * KIB
    for text in ('{"c":1}', '{"b":"%s"}' % ("ü" * (rest // 2 + 1))):
        with fails("FAILED_PRECONDITION", "STATE_TOO_LARGE") as failure:
            await patch(shared, session_id, text)
        assert failure.metadata["max_bytes"] == "262144"
        assert int(failure.metadata["size_bytes"]) > 256 * KIB
        assert failure.metadata["session_id"] == session_id
    assert await get(shared, session_id) == full
    assert (await patch(shared, session_id, '{"c":1,"a":null}')).state_version == 2


async def test_the_deepest_state(shared: Service) -> None:
    """A state of 100 levels is patched down to the last level."""
    session_id, deep = fresh_id(), '{"a":' * 99 + '{"%s":1}' + "}" * 99
    await create(shared, session_id, state=deep % "b")
    patched = await patch(shared, session_id, deep % "c")
    assert patched.state == '{"a":' * 99 + '{"b":1,"c":1}' + "}" * 99
