"""Calls of every use case, which send every statement of the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from store_support import APPLICATION, HEAVY_USER, LONG, append, compact, new_message, use_cases

from sessionhistory_server.background import retention, usage_recount
from sessionhistory_server.background.jobs import JobDatabase
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.model.api_key import ApiKeyFields, CertificateNameTakenError
from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.model.session import SessionContent, StateChange
from sessionhistory_server.model.summary import Compact
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store import tenant_limits, tokens, void_summaries
from sessionhistory_server.usecases.following import Following
from sessionhistory_server.usecases.forks import NewBranch
from sessionhistory_server.usecases.key_verification import KeyVerifier
from sessionhistory_server.usecases.refused_tokens import TokenRefusals
from sessionhistory_server.usecases.tenant_limits import HeldLimits
from support.callers import caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database


def session_filters() -> Iterator[SessionFilter]:
    """Yield each filter alone and all together, in each order, for one user and for all.

    Each lets some sessions pass.
    """
    filters: dict[str, Any] = {
        "application_id": APPLICATION,
        "statuses": ("ACTIVE", "COMPLETED"),
        "labels": {"colour": "3"},
        "title_contains": "about 1",
        "create_time_after": 1,
        "create_time_before": 2**60,
        "last_activity_time_after": 1,
        "last_activity_time_before": 2**60,
        "show_deleted": True,
    }
    for user_id, by_creation, ascending in product((None, HEAVY_USER), (False, True), (False, True)):
        order = {"by_creation": by_creation, "ascending": ascending}
        for chosen in ({}, *({name: value} for name, value in filters.items()), filters):
            yield SessionFilter(user_id=user_id, **order, **chosen)
    for ascending in (False, True):
        yield SessionFilter(user_id=HEAVY_USER, statuses=("ACTIVE",), ascending=ascending)


def message_filters() -> Iterator[MessageFilter]:
    """Yield each filter alone and all together, in both directions; each lets some messages pass."""
    filters: dict[str, Any] = {
        "after_sequence": 3,
        "before_sequence": 90,
        "roles": ("USER", "ASSISTANT"),
        "create_time_after": 1,
        "create_time_before": 2**60,
    }
    for descending in (False, True):
        for chosen in ({}, *({name: value} for name, value in filters.items()), filters):
            yield MessageFilter(descending=descending, **chosen)


async def call_everything(history: UseCases, database: Database) -> None:
    """Call every use case, so that every statement of the store is sent."""
    await call_sessions(history)
    await call_messages(history, database)
    await call_edits(history, database)
    await call_streams(history)
    await call_keys(history, database)
    await call_refusals(history, database)
    await call_limits(database)
    await history.sessions.patch_state(caller("u"), "chat", StateChange("{}", None))
    await history.sessions.get_active(caller("u"))
    await history.sessions.get_active(caller(HEAVY_USER), APPLICATION)
    for user_id in ("u", "somebody"):
        await history.sessions.ensure_active(caller(user_id), "", SessionContent())
    assert await retention.purge_batch(JobDatabase(database, "retention"), [])
    await call_sweep(database)
    await call_recount(history, database)
    assert await database.read(lambda c: tokens.next_sessions(c, f"{0:032x}", limit=1))
    for wanted in session_filters():
        _, token = await history.sessions.find(caller(wanted.user_id), wanted, page_size=1, page_token="")
        await history.sessions.find(caller(wanted.user_id), wanted, page_size=1, page_token=token)
        assert token
    for each in message_filters():
        _, token = await history.messages.find(caller(), LONG, each, page_size=1, page_token="")
        await history.messages.find(caller(), LONG, each, page_size=1, page_token=token)
        assert token


async def call_sessions(history: UseCases) -> None:
    """Create, read, change, delete, restore and purge sessions; some of the calls fail."""
    content = SessionContent(labels={"a": "b"}, expire_time=2**60)
    await history.sessions.create(caller("u"), "new", content, allow_existing=False)
    await history.sessions.create(caller("u"), "new", content, allow_existing=True)
    await refused(
        history.sessions.create(caller("u"), "new", content, allow_existing=False), "SESSION_EXISTS"
    )
    await history.sessions.create(caller(), "due", SessionContent(expire_time=0), allow_existing=False)
    etag = (await history.sessions.get(caller(), "new")).etag
    for changes in CHANGES:
        etag = (await history.sessions.update(caller("u"), "new", changes, etag=etag)).etag
        etag = (await history.sessions.update(caller(), "new", changes, etag=None)).etag
    await refused(history.sessions.update(caller(), "new", {}, etag="1-1"), "ETAG_MISMATCH")
    await history.sessions.delete(caller("u"), "new", purge=False)
    await history.sessions.undelete(caller("u"), "new")
    await refused(history.sessions.undelete(caller(), "new"), "SESSION_NOT_DELETED")
    await history.sessions.delete(caller(), "new", purge=True)


CHANGES: list[dict[str, Any]] = [
    {"title": None, "labels": {"a": "b"}},
    {"status": "COMPLETED", "state": "{}"},
    {"status": "ACTIVE", "metadata": None},
    {"expire_time": 2**60},
    {"expire_time": None},
    {"ttl": 10**12, "history_max_messages": 5},
]


async def call_messages(history: UseCases, database: Database) -> None:
    """Append and read messages; some of the calls fail."""
    first = append("chat", new_message("1", pinned=True), new_message("2"), new_session=SessionContent())
    await history.messages.append(caller("u"), first)
    await history.messages.append(caller("u"), first)
    await history.messages.append(
        caller(), append("chat", history=WindowLimits(token_budget=5), expected_last_sequence=2)
    )
    await refused(
        history.messages.append(caller(), append("chat", expected_last_sequence=2)), "SEQUENCE_MISMATCH"
    )
    await refused(history.messages.append(caller(), append("nowhere")), "SESSION_NOT_FOUND")
    change = StateChange('{"a": 1}', None)
    await history.messages.append(caller(), append("chat", state=change, expected_last_sequence=3))
    await history.messages.append(caller("u"), append("patched", state=change, new_session=SessionContent()))
    await asyncio.gather(*[history.messages.append(caller(), append("patched")) for _ in range(2)])
    await history.messages.get(caller("u"), "chat", message_id="1", sequence=None)
    await history.messages.get(caller(), "chat", message_id=None, sequence=2)
    await history.windows.get(caller("u"), "chat", WindowLimits())
    await history.windows.get(caller("u"), "chat", WindowLimits(max_turns=2))
    await compact(database, "chat", 2)
    await history.windows.get(caller("u"), "chat", WindowLimits())


async def call_edits(history: UseCases, database: Database) -> None:
    """Truncate and replace messages, fork and reset sessions."""
    await history.messages.append(
        caller(), append("talk", *[new_message()] * 3, new_session=SessionContent())
    )
    replacement = append("talk", new_message("1"), keep_through_sequence=1)
    await history.messages.append(caller(), replacement)
    await history.messages.append(caller(), replacement)
    await compact(database, "talk", 4)
    await history.messages.truncate(caller(), "talk", 1, expected_last_sequence=4)
    new = NewBranch("fork", "u", SessionContent())
    await history.forks.fork(caller(), "talk", new, through_sequence=1, allow_existing=False)
    await history.forks.fork(caller(), "talk", new, through_sequence=1, allow_existing=True)
    too_far = history.forks.fork(caller(), "talk", new, through_sequence=99, allow_existing=False)
    await refused(too_far, "SEQUENCE_MISMATCH")
    await history.forks.reset(
        caller(),
        "talk",
        NewBranch("", None, SessionContent()),
        keep_messages=True,
        keep_state=True,
        previous_status="COMPLETED",
    )


async def call_recount(history: UseCases, database: Database) -> None:
    """Recount a session with a message that has another token count than the counter gives it."""
    await history.messages.append(caller(), append("chat", new_message("uncounted", tokens=None)))
    await database.write(
        lambda c: c.execute("update messages set token_count = 99 where message_id = 'uncounted'")
    )
    assert (await history.recounts.recount(caller(), "chat")).changed_messages


async def call_sweep(database: Database) -> None:
    """Sweep the summaries of a session that may have void ones, and of a session that is gone."""
    await database.write(lambda c: c.execute("update sessions set compacted_removed_count = null"))
    assert await retention.sweep_slice(database, void_summaries.START) == void_summaries.START
    await database.write(lambda c: void_summaries.remove_void(c, f"{0:032x}"))


async def call_streams(history: UseCases) -> None:
    """Begin, break and finish a stream."""
    broken = append("stream", new_message("m", status="INTERRUPTED"), new_session=SessionContent())
    await history.streams.check(caller(), broken)
    await history.streams.keep(caller(), broken, patient=False)
    await history.streams.store(caller(), append("stream", new_message("m")))
    await history.sessions.update(caller(), "stream", {"status": "COMPLETED"}, etag=None)
    await history.streams.check(caller(), append("stream", new_message("m")))


async def call_keys(history: UseCases, database: Database) -> None:
    """Create, use, list, rotate and revoke a key."""
    following = Following(database)
    verifier = KeyVerifier(database, following)
    fields = ApiKeyFields("", ("read",), None, None, require_user_id=False, expire_time=None)
    key, secret = await history.api_keys.create(caller(), fields)
    await following.refresh_soon()
    assert verifier.find(secret)
    await verifier.store_uses()
    await history.api_keys.rotate(caller(), key.api_key_id, overlap=timedelta(), expire_time=None)
    await history.api_keys.find(caller(), show_revoked=True, page_size=1, page_token="")
    await history.api_keys.revoke(caller(), key.api_key_id)
    registered = await history.api_keys.register_certificate(caller(), "DNS:orders.internal", fields)
    again = history.api_keys.register_certificate(caller(), "DNS:orders.internal", fields)
    with pytest.raises(CertificateNameTakenError):
        await again
    rotation = history.api_keys.rotate(caller(), registered.api_key_id, overlap=timedelta(), expire_time=None)
    await refused(rotation, "API_KEY_WITHOUT_SECRET")


async def call_refusals(history: UseCases, database: Database) -> None:
    """Refuse a token, list the refused ones, and read them."""
    for token_id in ("first", "second", "first"):
        await history.refused_tokens.refuse(caller(), token_id, 10**15)
    await history.refused_tokens.find(caller(), page_size=1, page_token="")
    following = Following(database)
    following.follow(TokenRefusals(database))
    await following.refresh_soon()


async def call_limits(database: Database) -> None:
    """Set and unset limits. Count the stored sessions and bytes, and count them again."""
    held = HeldLimits(database)
    set_limits = partial(tenant_limits.set_limits, tenant_id="", limits={"tenant_bytes": 2**40})
    await database.write(set_limits)
    await held.read_changes(0)
    counting = use_cases(database, limits=held)
    sent = append("counted", new_message(pinned=True), new_message(), new_session=SessionContent())
    await counting.messages.append(caller("u"), sent)
    await counting.summaries.compact(caller("u"), Compact("counted", 2, new_message("", role="SYSTEM")))
    await counting.metering.write()
    await counting.metering.refresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage_recount, "SETTLE_SECONDS", 0.0)
        await usage_recount.run_once(JobDatabase(database, "usage recount"))
    await counting.sessions.delete(caller("u"), "counted", purge=True)
    unset = partial(tenant_limits.unset_limits, tenant_id="", names=["tenant_bytes"])
    assert await database.write(unset) == ["tenant_bytes"]


async def refused(call: Awaitable[object], reason: str) -> None:
    """Make a call that fails."""
    with pytest.raises(SessionHistoryError) as caught:
        await call
    assert caught.value.reason == reason


async def make_two_pages(history: UseCases) -> None:
    """Store enough for every list to have a second page."""
    for session_id in (LONG, "session-2"):
        content = SessionContent(application_id=APPLICATION, title="about 1", labels={"colour": "3"})
        await history.messages.append(
            caller(HEAVY_USER), append(session_id, *[new_message()] * 9, new_session=content)
        )
