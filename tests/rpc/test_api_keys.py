"""Keys are created, listed, rotated and revoked by calls, in the tenant of their caller."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import call, create, fresh_id

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server import limits
from sessionhistory_server.errors import UnavailableError, database_read_only
from sessionhistory_server.store import api_keys as store
from support.databases import execute
from support.errors import fails
from support.keys import credentials, holding, make_key, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

pytestmark = pytest.mark.pooled

FUTURE = Timestamp(seconds=4_000_000_000, nanos=1_000)
FIELDS: dict[str, Any] = {
    "display_name": "the night job",
    "scopes": [pb.SCOPE_READ, pb.SCOPE_WRITE],
    "user_id": "ada",
    "application_id": "app",
    "require_user_id": True,
    "expire_time": FUTURE,
}


async def _admin(service: Service, **fields: Any) -> Any:
    return credentials(service, (await make_key(service, **fields))[1])


def _creation(**fields: Any) -> pb.CreateApiKeyRequest:
    return pb.CreateApiKeyRequest(api_key=pb.ApiKeyFields(**{"scopes": [pb.SCOPE_READ]} | fields))


async def test_a_key_is_shown_as_it_was_created(guarded: Service) -> None:
    """All fields come back, in the answer and in the list; the secret in the answer only."""
    admin = await _admin(guarded, tenant=fresh_id())
    created = await admin.CreateApiKey(_creation(**FIELDS))
    for name, value in FIELDS.items():
        assert getattr(created.api_key, name) == value, name
    assert created.api_key.HasField("create_time")
    assert created.secret.startswith(f"shk_{created.api_key.api_key_id}_")
    assert len(created.secret) == 70
    listed = (await admin.ListApiKeys(pb.ListApiKeysRequest())).api_keys
    assert listed[0] == created.api_key
    assert created.secret[21:] not in str(listed)


async def test_the_database_has_only_a_hash(serve: Serve, database_url: str) -> None:
    """No column contains the secret."""
    service = await serve(database_url, auth=("keys",))
    answer = await (await _admin(service)).CreateApiKey(_creation())
    rows = execute(
        database_url,
        f"select api_keys::text, secret_hash from api_keys where api_key_id = '{answer.api_key.api_key_id}'",
    )
    (text, secret_hash) = rows[0]
    secret = answer.secret[21:]
    assert bytes(secret_hash) == hashlib.sha256(secret.encode()).digest()
    assert secret not in str(text)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("api_key.scopes", {"scopes": []}),
        ("api_key.scopes[0]", {"scopes": [0]}),
        ("api_key.scopes[1]", {"scopes": [1, 9]}),
        ("api_key.scopes", {"scopes": [1] * 17}),
        ("api_key.display_name", {"display_name": "x" * 201}),
        ("api_key.display_name", {"display_name": "\0"}),
        ("api_key.user_id", {"user_id": "x" * 257}),
        ("api_key.application_id", {"application_id": "x" * 257}),
        ("api_key.expire_time", {"expire_time": Timestamp(seconds=1)}),
        ("api_key.expire_time", {"expire_time": Timestamp(seconds=2**60)}),
    ],
)
async def test_a_rule_that_a_new_key_breaks_is_named(
    guarded: Service, field: str, changes: dict[str, Any]
) -> None:
    """INVALID_ARGUMENT names the field."""
    admin = await _admin(guarded)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await admin.CreateApiKey(_creation(**changes))
    assert list(failure.violations) == [field]


@pytest.mark.parametrize("method", ["RotateApiKey", "RevokeApiKey"])
@pytest.mark.parametrize("key_id", ["", "x", "A" * 15, "A" * 17, "A" * 15 + "'"])
async def test_an_id_of_another_form_is_refused(guarded: Service, method: str, key_id: str) -> None:
    """INVALID_ARGUMENT, before the database is asked."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await getattr(await _admin(guarded), method)(getattr(pb, f"{method}Request")(api_key_id=key_id))
    assert list(failure.violations) == ["api_key_id"]


@pytest.mark.parametrize("overlap", [Duration(seconds=-1), Duration(seconds=30 * 86_400 + 1)])
async def test_an_overlap_has_limits(guarded: Service, overlap: Duration) -> None:
    """From 0 to 30 days."""
    key_id, _ = await make_key(guarded)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
        await (await _admin(guarded)).RotateApiKey(pb.RotateApiKeyRequest(api_key_id=key_id, overlap=overlap))


@pytest.mark.parametrize("method", ["RotateApiKey", "RevokeApiKey"])
@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ({"tenant": "ada"}, {"tenant": "eve"}),
        ({"user_id": "ada"}, {"user_id": "eve"}),
        ({"application_id": "ada"}, {"application_id": "eve"}),
        ({}, {"user_id": "eve"}),
    ],
)
async def test_a_strangers_key_is_as_if_missing(
    guarded: Service, method: str, mine: dict[str, Any], other: dict[str, Any]
) -> None:
    """Another tenant's, and one that is bound to another user or application."""
    key_id, secret = await make_key(guarded, **mine)
    stranger = await _admin(guarded, **other)
    request = getattr(pb, f"{method}Request")
    theirs = await refused(getattr(stranger, method)(request(api_key_id=key_id)))
    nobodys = await refused(getattr(stranger, method)(request(api_key_id="A" * 16)))
    assert theirs.reason == "API_KEY_NOT_FOUND"
    assert repr(theirs).replace(key_id, "A" * 16) == repr(nobodys)
    listed = (await stranger.ListApiKeys(pb.ListApiKeysRequest(show_revoked=True, page_size=1_000))).api_keys
    assert key_id not in {key.api_key_id for key in listed}
    assert (await refused(call(holding(guarded, secret), "GetSession", "s"))).reason == "SESSION_NOT_FOUND"


async def test_a_bound_admin_creates_keys_with_its_binding_only(guarded: Service) -> None:
    """Otherwise it could take the rights of all users."""
    admin = await _admin(guarded, user_id="ada", application_id="app")
    made = (await admin.CreateApiKey(_creation())).api_key
    assert (made.user_id, made.application_id) == ("ada", "app")
    with fails("PERMISSION_DENIED", "USER_MISMATCH"):
        await admin.CreateApiKey(_creation(user_id="eve"))
    with fails("PERMISSION_DENIED", "APPLICATION_MISMATCH"):
        await admin.CreateApiKey(_creation(application_id="other"))


async def test_a_list_has_pages(guarded: Service) -> None:
    """The newest key first; a page token is its caller's, and no other list's."""
    tenant = fresh_id()
    admin = await _admin(guarded, tenant=tenant)
    made = [(await admin.CreateApiKey(_creation())).api_key.api_key_id for _ in range(5)]
    seen, token = [], ""
    while True:
        page = await admin.ListApiKeys(pb.ListApiKeysRequest(page_size=2, page_token=token))
        seen += [key.api_key_id for key in page.api_keys]
        if not (token := page.next_page_token):
            break
        last = token
    assert seen[:5] == made[::-1]
    assert len(seen) == 6
    other = pb.ListApiKeysRequest(page_token=last, show_revoked=True)
    assert (await refused(admin.ListApiKeys(other))).reason == "INVALID_PAGE_TOKEN"
    again = pb.ListApiKeysRequest(page_token=last)
    assert (await refused((await _admin(guarded)).ListApiKeys(again))).reason == "INVALID_PAGE_TOKEN"


async def test_a_revoked_key_is_listed_on_request_only(guarded: Service) -> None:
    """A second revocation changes nothing, and a revoked key cannot be rotated."""
    admin = await _admin(guarded, tenant=fresh_id())
    key_id = (await admin.CreateApiKey(_creation())).api_key.api_key_id
    revoked = (await admin.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key_id))).api_key
    assert revoked.HasField("revoke_time")
    assert (await admin.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key_id))).api_key == revoked
    assert (await refused(admin.RotateApiKey(pb.RotateApiKeyRequest(api_key_id=key_id)))).reason == (
        "API_KEY_NOT_FOUND"
    )
    for show_revoked in (False, True):
        listed = await admin.ListApiKeys(pb.ListApiKeysRequest(show_revoked=show_revoked))
        assert (revoked in listed.api_keys) == show_revoked


@pytest.mark.parametrize("limit", ["MAX_API_KEYS", "MAX_API_KEYS_OF_TENANT"])
async def test_the_number_of_keys_is_limited(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Of a tenant and of all; revoked keys do not count, and are removed after 90 days."""
    assert getattr(limits, limit) in (10_000, 100_000)
    monkeypatch.setattr(store, limit, 2)
    service = await serve(database_url, auth=("keys",))
    admin_id, secret = await make_key(service)
    admin = credentials(service, secret)
    first = (await admin.CreateApiKey(_creation())).api_key.api_key_id
    with fails("FAILED_PRECONDITION", "TOO_MANY_API_KEYS") as failure:
        await admin.CreateApiKey(_creation())
    assert failure.metadata == {"max_api_keys": "2"}
    await admin.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=first))
    execute(database_url, "update api_keys set revoke_time = revoke_time - interval '91 days'")
    second = (await admin.CreateApiKey(_creation())).api_key.api_key_id
    assert set(execute(database_url, "select api_key_id from api_keys")) == {(admin_id,), (second,)}


async def test_the_last_use_of_a_key_is_stored(serve: Serve, database_url: str) -> None:
    """By the server, some time after the call; a key that was not used has none."""
    service = await serve(database_url, auth=("keys",))
    admin = await _admin(service)
    used_id, secret = await make_key(service)
    unused_id, _ = await make_key(service)
    await create(holding(service, secret), fresh_id())
    await service.app._credentials.held_keys.store_uses()  # noqa: SLF001 - it does so once a minute
    listed = (await admin.ListApiKeys(pb.ListApiKeysRequest())).api_keys
    used = {key.api_key_id: key.HasField("last_use_time") for key in listed}
    assert (used[used_id], used[unused_id]) == (True, False)


async def test_uses_that_cannot_be_stored_are_kept(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the database takes writes again."""
    service = await serve(database_url, auth=("keys",))
    key_id, secret = await make_key(service)
    await create(holding(service, secret), fresh_id())

    async def fail(*_: object, **__: object) -> None:
        raise database_read_only()

    with monkeypatch.context() as patch:
        patch.setattr(store, "note_uses", fail)
        with pytest.raises(UnavailableError):
            await service.app._credentials.held_keys.store_uses()  # noqa: SLF001
    await service.app._credentials.held_keys.store_uses()  # noqa: SLF001
    query = f"select last_use_time is not null from api_keys where api_key_id = '{key_id}'"
    assert execute(database_url, query) == [(True,)]
