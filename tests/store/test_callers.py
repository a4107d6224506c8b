"""A caller reaches the sessions of its tenant, and of its user if it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import append

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model.filters import SessionFilter
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from support.callers import caller

if TYPE_CHECKING:
    from store_support import UseCases

ADA = caller("ada")
ADA_ELSEWHERE = ADA._replace(tenant_id="another")


async def test_a_tenant_does_not_see_another_ones_sessions(history: UseCases) -> None:
    """Reads, lists and the active session of a caller show nothing of another tenant's same user."""
    await history.messages.append(ADA, append("s", new_session=SessionContent()))
    for read in (
        history.sessions.get(ADA_ELSEWHERE, "s"),
        history.sessions.get_active(ADA_ELSEWHERE),
        history.messages.get(ADA_ELSEWHERE, "s", message_id=None, sequence=1),
        history.windows.get(ADA_ELSEWHERE, "s", WindowLimits()),
    ):
        with pytest.raises(NotFoundError):
            await read
    assert await history.sessions.find(ADA_ELSEWHERE, SessionFilter(), page_size=9, page_token="") == ([], "")


async def test_two_tenants_use_the_same_session_id(history: UseCases) -> None:
    """The same id names a session of each tenant, and an append of one does not reach the other."""
    for tenant in (ADA, ADA_ELSEWHERE):
        await history.sessions.create(tenant, "s", SessionContent(), allow_existing=False)
    await history.messages.append(ADA_ELSEWHERE, append("s"))
    counts = [(await history.sessions.get(tenant, "s")).message_count for tenant in (ADA, ADA_ELSEWHERE)]
    assert counts == [0, 1]


async def test_a_list_is_of_the_callers_user(history: UseCases) -> None:
    """A caller that names a user lists that user's sessions, whatever user the filter names."""
    for owner in (ADA, caller("eve")):
        content = SessionContent(title=owner.user_id)
        await history.sessions.create(owner, "", content, allow_existing=False)
    found, _ = await history.sessions.find(ADA, SessionFilter(user_id="eve"), page_size=9, page_token="")
    assert [session.user_id for session in found] == ["ada"]
