"""Two parties of a service: an owner with sessions, and a stranger that must not learn of them."""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from named_fields import KEY, MESSAGE, PAGE, PLACE, SESSION, TOKEN, methods
from valid_requests import FAR, SAID, naming, request_of

from sessionhistory_server.store.session_ref import session_key
from support.fresh import fresh_id
from support.keys import register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from named_fields import NamedField
    from party import Party
    from valid_requests import Fields
    from watching import Seen, Watcher

OF_OWNER, OF_STRANGER = 22, 3
"""The messages in a session of the owner, and in one of the stranger."""

_THEIRS, _MISSING, _NEVER = "21", "41", "61"
"""Places: the owner's sessions have the first one, no session has the others."""

_RPCS = {method.name: method for method in methods()}


class Kind(NamedTuple):
    """The difference between the two parties: the fields of their keys, or the users that they name."""

    owner: dict[str, Any]
    stranger: dict[str, Any]
    has_keys: bool = True

    def calls(self, method: MethodDescriptor) -> bool:
        """Return whether the parties may call an RPC."""
        return self.has_keys or method.containing_service.name != "CredentialsService"

    @property
    def is_within_tenant(self) -> bool:
        """Whether both parties have the same tenant."""
        return self.owner.get("tenant") == self.stranger.get("tenant")


KINDS = {
    "another tenant's": Kind({"tenant": "tenant-of-ada"}, {"tenant": "tenant-of-eve"}),
    "another user's": Kind({"user_id": "user-ada"}, {"user_id": "user-eve"}),
    "another application's": Kind({"application_id": "app-of-ada"}, {"application_id": "app-of-eve"}),
    "the user's that another request names": Kind(
        {"user_id": "named-ada"}, {"user_id": "named-eve"}, has_keys=False
    ),
}


async def call(party: Party, name: str, **fields: Any) -> Any:
    """Call an RPC with one request and one response."""
    method = _RPCS[name]
    (response,) = await party.call(method, [request_of(method, **fields)])
    return response


async def create(party: Party, count: int, message_id: str = "", state: str = "live") -> str:
    """Create a session with messages, of which the first one may have an id; return the session's id.

    Its state is live, completed or deleted.
    """
    session_id = fresh_id()
    messages = [{**SAID, "message_id": message_id}, *[SAID] * (count - 1)]
    await call(party, "AppendMessages", session_id=session_id, messages=messages, new_session={})
    if state == "completed":
        changed = {"status": "SESSION_STATUS_COMPLETED"}
        await call(party, "UpdateSession", session_id=session_id, session=changed)
    if state == "deleted":
        await call(party, "DeleteSession", session_id=session_id)
    return session_id


class Things(NamedTuple):
    """A session of the owner, and three values of a field: only the first one names a thing of the owner."""

    session_id: str
    theirs: str
    missing: str
    never: str


async def things(owner: Party, field: NamedField, state: str = "live") -> Things:
    """Make what a field can name, for the owner, in a state."""
    message_id = fresh_id()
    session_id = await create(owner, OF_OWNER, message_id, state)
    if field.noun == PLACE:
        return Things(session_id, _THEIRS, _MISSING, _NEVER)
    if field.noun == PAGE:
        token = await page_token(owner, field, session_id)
        return Things(session_id, token, forged(token), forged(token))
    if field.noun == KEY:
        key_id = await _key(owner, state)
        return Things(session_id, key_id, secrets.token_hex(8), secrets.token_hex(8))
    theirs = {SESSION: session_id, MESSAGE: message_id, TOKEN: fresh_id()}[field.noun]
    if field.noun == TOKEN:
        await call(owner, "RefuseToken", token_id=theirs, expire_time=FAR)
    return Things(session_id, theirs, fresh_id(), fresh_id())


async def _key(owner: Party, state: str) -> str:
    """Create a key: live, revoked, or with a certificate in place of a secret; return its id."""
    if state == "certificate":
        return await register(owner.service, f"URI:urn:{fresh_id()}", **owner.key_fields)
    key = (await call(owner, "CreateApiKey", api_key={"scopes": ["SCOPE_READ"]})).api_key
    if state == "revoked":
        await call(owner, "RevokeApiKey", api_key_id=key.api_key_id)
    return str(key.api_key_id)


async def page_token(owner: Party, field: NamedField, session_id: str) -> str:
    """Return a token of the owner's second page."""
    if field.method.name == "ListSessions":
        await create(owner, 1)
    if field.method.name == "ListApiKeys":
        await call(owner, "CreateApiKey", api_key={"scopes": ["SCOPE_READ"]})
    if field.method.name == "ListRefusedTokens":
        for _ in range(2):
            await call(owner, "RefuseToken", token_id=fresh_id(), expire_time=FAR)
    page: Any = (await owner.call(field.method, naming(field, session_id, "", {})))[-1]
    if field.path[0] == "calls":
        page = getattr(page.outcomes[0], field.path[1])
    token: str = page.next_page_token
    assert token
    return token


def forged(token: str) -> str:
    """Return a text of the form of a token, with the number of its key and random bytes."""
    data = base64.urlsafe_b64decode(token)
    return base64.urlsafe_b64encode(data[:4] + secrets.token_bytes(len(data) - 4)).decode()


async def seen(
    watcher: Watcher,
    party: Party,
    field: NamedField,
    value: str,
    changes: Fields,
    session_id: str | None = None,
) -> Seen:
    """Watch a call that names a thing, otherwise on a session: by default on a new one of the party."""
    session_id = session_id or await create(party, OF_STRANGER)
    requests = naming(field, session_id, value, changes)
    return await watcher.seen(party, field.method, requests, {session_id: "its own", value: "the thing"})


async def newest_of(owner: Party) -> list[object]:
    """Return the newest sessions and keys of the owner. A server notes once a minute when keys were used."""
    sessions = (await call(owner, "ListSessions", show_deleted=True, page_size=5)).sessions
    if owner.secret is None:
        return [*sessions]
    keys = (await call(owner, "ListApiKeys", show_revoked=True, page_size=5)).api_keys
    for key in keys:
        key.ClearField("last_use_time")
    return [*sessions, *keys]


@contextmanager
def locked(owner: Party, session_id: str) -> Iterator[None]:
    """Lock the row of a session, as a write of its owner does."""
    with psycopg.connect(owner.database_url) as connection:
        key = session_key(owner.tenant, session_id)
        connection.execute("select from sessions where session_key = %s::uuid for update", [key])
        yield
