"""A name in a client's certificate stands in for a key, with everything that a key has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import pytest_asyncio
from certificate_support import Authorities, reason
from grpc.experimental.session_cache import ssl_session_cache_lru
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc_support import append, call, fresh_id, said

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2 as spb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from sessionhistory.v1 import session_pb2
from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.model.api_key import CertificateNameTakenError
from sessionhistory_server.model.caller import READ
from support.certificates import alternative
from support.databases import execute
from support.errors import fails, failure_of
from support.keys import credentials, make_key, refused, register
from support.service import SERVING, Service, default_settings
from support.tokens import IssuerKey, jwt_settings, publish
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from support.databases import Databases

    Serve = Callable[..., Awaitable[Service]]

ACCEPTED, UNKNOWN = "SESSION_NOT_FOUND", "CREDENTIALS_INVALID"


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """The authorities of the server and of its clients."""
    return Authorities.below(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture(scope="session")
async def guarded(
    authorities: Authorities, databases: Databases, way: Callable[[str], str]
) -> AsyncIterator[Service]:
    """A service that accepts keys and certificates, for tests that register names of their own."""
    own = authorities.server.credentials(authorities.issue("DNS:nobody.internal"))
    with databases.migrated() as url:
        settings = default_settings(**authorities.settings())
        async with Service.running(settings, way(url), own) as service:
            await service.wait_until_serving()
            yield service


def _name(kind: str = "URI") -> str:
    return f"URI:spiffe://corp/{fresh_id()}" if kind == "URI" else f"DNS:{fresh_id()}.internal"


@pytest.mark.parametrize("kind", ["URI", "DNS"])
async def test_a_registered_name_is_an_identity(
    guarded: Service, authorities: Authorities, kind: str
) -> None:
    """It has a tenant, scopes, and on request a user or an application, as a key has."""
    name, tenant = _name(kind), fresh_id()
    _, key = await make_key(guarded, tenant=tenant)
    await register(guarded, name, tenant=tenant, scopes=(READ,), user_id="ada")
    pair = authorities.issue(name)
    async with authorities.client(guarded, pair, key) as owner:
        for user in ("ada", "eve"):
            session = session_pb2.SessionFields()
            await append(owner, f"of-{user}", said(), new_session=session, user_id=user)
    async with authorities.client(guarded, pair) as client:
        assert (await call(client, "GetSession", "of-ada")).session.user_id == "ada"
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(client, "GetSession", "of-eve")
        with fails("PERMISSION_DENIED", "USER_MISMATCH"):
            await call(client, "GetSession", "of-eve", user_id="eve")
        with fails("PERMISSION_DENIED", "SCOPE_MISSING"):
            await append(client, "of-ada", said())


async def test_a_certificate_that_is_not_registered(guarded: Service, authorities: Authorities) -> None:
    """The error names the names that could be registered, so that an operator can do so."""
    async with authorities.client(guarded, authorities.issue("DNS:a.b", "URI:x:y", "DNS:*.b")) as client:
        with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
            await call(client, "GetSession", "s")
    assert failure.message.endswith("is revoked: it has URI:x:y, DNS:a.b")
    assert failure.metadata == {}


async def test_the_common_name_does_not_count(guarded: Service, authorities: Authorities) -> None:
    """A certificate without alternative names has no name."""
    host = f"{fresh_id()}.internal"
    await register(guarded, f"DNS:{host}")
    for names in (None, alternative()):
        pair = authorities.clients.issue_for(host, names)
        async with authorities.client(guarded, pair) as client:
            with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
                await call(client, "GetSession", "s")
        assert failure.message.endswith("it has no name that could be")


# A registered name, in which X stands for a text of the test's own; names of a certificate; and the answer.
_TRICKS: dict[str, tuple[str, list[str | bytes], str]] = {
    "a host in upper case": ("DNS:x.internal", ["DNS:X.INTERNAL"], ACCEPTED),
    "a NUL after a host": ("DNS:x.internal", ["DNS:x.internal\0.example.com"], UNKNOWN),
    "a NUL at the end of a host": ("DNS:x.internal", ["DNS:x.internal\0"], UNKNOWN),
    "a NUL before a host": ("DNS:x.internal", ["DNS:\0x.internal"], UNKNOWN),
    "a NUL in a URI": ("URI:spiffe://corp/x", ["URI:spiffe://corp/x\0/y"], UNKNOWN),
    "a NUL at the end of a URI": ("URI:spiffe://corp/x", ["URI:spiffe://corp/x\0"], UNKNOWN),
    "a wildcard": ("DNS:x.internal", ["DNS:*.internal"], UNKNOWN),
    "a wildcard of all": ("DNS:x.internal", ["DNS:*"], UNKNOWN),
    "a dot at the end": ("DNS:x.internal", ["DNS:x.internal."], UNKNOWN),
    "a dot at the beginning": ("DNS:x.internal", ["DNS:.x.internal"], UNKNOWN),
    "a space": ("DNS:x.internal", ["DNS:x.internal "], UNKNOWN),
    "a line break": ("DNS:x.internal", ["DNS:x.internal\n"], UNKNOWN),
    "an empty host": ("DNS:x.internal", ["DNS:"], UNKNOWN),
    "a subdomain": ("DNS:x.internal", ["DNS:a.x.internal"], UNKNOWN),
    "a sign of Unicode whose lower case is a k": ("DNS:xk.internal", ["DNS:x\u212a.internal"], UNKNOWN),
    "a letter that looks the same": ("DNS:xa.internal", ["DNS:x\u0430.internal"], UNKNOWN),
    "a host in UTF-8": ("DNS:x.internal", ["DNS:\u00f6x.internal"], UNKNOWN),
    "bytes that are no text": ("DNS:x.internal", [b"DNS:x.internal\xff"], UNKNOWN),
    "a bad name beside a good one": ("DNS:x.internal", ["DNS:x.internal", b"DNS:\xff"], UNKNOWN),
    "a wildcard beside a good one": ("DNS:x.internal", ["DNS:*.internal", "DNS:x.internal"], ACCEPTED),
    "the host of a URI": ("DNS:x.internal", ["URI:https://x.internal"], UNKNOWN),
    "a host as a URI": ("DNS:x.internal", ["URI:x.internal"], UNKNOWN),
    "a URI as a host": ("URI:spiffe://corp/x", ["DNS:spiffe://corp/x"], UNKNOWN),
    "a kind in a host": ("URI:spiffe://corp/x", ["DNS:URI:spiffe://corp/x"], UNKNOWN),
    "a URI with a slash at its end": ("URI:spiffe://corp/x", ["URI:spiffe://corp/x/"], UNKNOWN),
    "a URI in upper case": ("URI:spiffe://corp/x", ["URI:SPIFFE://CORP/X"], UNKNOWN),
    "a URI with a step upwards": ("URI:spiffe://corp/x", ["URI:spiffe://corp/y/../x"], UNKNOWN),
    "a URI with an encoded letter": ("URI:spiffe://corp/x", ["URI:spiffe://corp/%78"], UNKNOWN),
    "the same name twice": ("DNS:x.internal", ["DNS:x.internal", "DNS:X.internal"], ACCEPTED),
    "many names": ("DNS:x.internal", [*(f"DNS:{n}.b" for n in range(99)), "DNS:x.internal"], ACCEPTED),
    "too many names": ("DNS:x.internal", ["DNS:x.internal", *(f"DNS:{n}.b" for n in range(100))], UNKNOWN),
}


@pytest.mark.parametrize("case", _TRICKS)
async def test_a_name_with_a_trick(guarded: Service, authorities: Authorities, case: str) -> None:
    """Only the registered name itself is accepted; a host in any case."""
    registered, names, expected = _TRICKS[case]
    own = fresh_id()

    def owned(name: str | bytes) -> str | bytes:
        if isinstance(name, bytes):
            return name.replace(b"x", own.encode())
        kind, rest = name[:4], name[4:].replace("example", "EXAMPLE")
        return kind + rest.replace("x", own).replace("X", own.upper())

    await register(guarded, str(owned(registered)))
    assert await authorities.reason(guarded, authorities.issue(*map(owned, names))) == expected


async def test_several_registered_names_are_ambiguous(guarded: Service, authorities: Authorities) -> None:
    """Until all but one are revoked."""
    first, second = _name(), _name("DNS")
    first_id, second_id = await register(guarded, first), await register(guarded, second, tenant=fresh_id())
    async with authorities.client(guarded, authorities.issue(first, second)) as client:
        with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
            await call(client, "GetSession", "s")
        assert failure.message == "several names of the client's certificate are registered: only one may be"
        assert await authorities.reason(guarded, authorities.issue(second)) == ACCEPTED
        await _revoke(guarded, authorities, first_id)
        await until(lambda: _is(client, ACCEPTED))
    assert second_id != first_id


async def _is(client: Service, expected: str) -> bool:
    return await reason(client) == expected


async def _revoke(service: Service, authorities: Authorities, key_id: str, tenant: str = "default") -> None:
    _, admin = await make_key(service, tenant=tenant)
    async with authorities.client(service, authorities.issue("DNS:admin.internal"), admin) as client:
        await credentials(client, admin).RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key_id))


async def test_the_key_of_a_call_comes_before_the_certificate(
    guarded: Service, authorities: Authorities
) -> None:
    """Also a wrong one: the certificate is no second chance."""
    name, tenant = _name(), fresh_id()
    await register(guarded, name, scopes=(READ,))
    _, key = await make_key(guarded, tenant=tenant)
    pair = authorities.issue(name)
    async with authorities.client(guarded, pair, key) as both:
        await append(both, "s", said(), new_session=session_pb2.SessionFields())
        assert (await call(both, "GetSession", "s")).session.session_id == "s"
    async with authorities.client(guarded, pair) as certificate_only:
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(certificate_only, "GetSession", "s")
    wrong = (key_text.new_key(key_text.new_id()), "", pair.cert.read_text().replace("\n", ""))
    for text in wrong:
        assert await authorities.reason(guarded, pair, text) == UNKNOWN


@pytest.mark.parametrize(
    ("auth", "with_key", "with_certificate"),
    [
        (("keys",), ACCEPTED, "CREDENTIALS_MISSING"),
        (("certificates",), UNKNOWN, ACCEPTED),
        (("keys", "certificates"), ACCEPTED, ACCEPTED),
    ],
)
async def test_only_the_kinds_of_the_setting_count(
    serve: Serve,
    database_url: str,
    authorities: Authorities,
    auth: tuple[str, ...],
    with_key: str,
    with_certificate: str,
) -> None:
    """With TLS for clients, keys come on top: each client needs a certificate in any case."""
    service = await authorities.serve(serve, database_url, auth=auth)
    await register(service, "DNS:orders.internal")
    _, key = await make_key(service)
    pair = authorities.issue("DNS:orders.internal")
    assert await authorities.reason(service, pair, key) == with_key
    assert await authorities.reason(service, pair) == with_certificate


async def test_all_kinds_at_once(
    serve: Serve, database_url: str, authorities: Authorities, tmp_path: Path
) -> None:
    """Each call is judged by what it presents: a key, a token, or else its connection's certificate."""
    issuer, published = IssuerKey("issuer"), tmp_path / "keys.json"
    publish(published, issuer)
    kinds = ("keys", "jwt", "certificates")
    service = await authorities.serve(serve, database_url, **jwt_settings(published, auth=kinds))
    await register(service, "DNS:orders.internal")
    _, key = await make_key(service)
    registered, other = authorities.issue("DNS:orders.internal"), authorities.issue("DNS:other.internal")
    for text, expected in ((key, ACCEPTED), (issuer.token(), ACCEPTED), (issuer.token()[:-9], UNKNOWN)):
        assert await authorities.reason(service, other, text) == expected
        assert await authorities.reason(service, registered, text) == expected
    assert await authorities.reason(service, registered) == ACCEPTED
    assert await authorities.reason(service, other) == UNKNOWN


async def test_health_is_open_to_each_client_of_the_authority(
    guarded: Service, authorities: Authorities
) -> None:
    """It needs a certificate, but none that is registered."""
    async with authorities.client(guarded, authorities.issue("DNS:balancer.internal")) as client:
        health: Any = health_pb2_grpc.HealthStub(client.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING


async def test_a_registration_has_no_secret(guarded: Service, authorities: Authorities) -> None:
    """No key with its id is accepted, it cannot be rotated, and the list shows its name."""
    name, tenant = _name(), fresh_id()
    key_id = await register(guarded, name, tenant=tenant)
    pair = authorities.issue(name)
    assert await authorities.reason(guarded, pair, key_text.new_key(key_id)) == UNKNOWN
    async with authorities.client(guarded, pair) as client:
        admin = credentials(client, None)
        with fails("FAILED_PRECONDITION", "API_KEY_WITHOUT_SECRET") as failure:
            await admin.RotateApiKey(pb.RotateApiKeyRequest(api_key_id=key_id))
        assert failure.metadata == {"api_key_id": key_id}
        made = await admin.CreateApiKey(
            pb.CreateApiKeyRequest(api_key=pb.ApiKeyFields(scopes=[pb.SCOPE_READ]))
        )
        listed = (await admin.ListApiKeys(pb.ListApiKeysRequest())).api_keys
        assert [each.certificate_name for each in listed] == ["", name]
        assert listed[0] == made.api_key
    _, stranger = await make_key(guarded, tenant=fresh_id())
    async with authorities.client(guarded, authorities.issue("DNS:eve"), stranger) as client:
        eve = credentials(client, stranger)
        for each in (pb.RotateApiKeyRequest, pb.RevokeApiKeyRequest):
            name_of_call = each.DESCRIPTOR.name.removesuffix("Request")
            theirs = await refused(getattr(eve, name_of_call)(each(api_key_id=key_id)))
            missing = await refused(getattr(eve, name_of_call)(each(api_key_id="A" * 16)))
            assert repr(theirs).replace(key_id, "A" * 16) == repr(missing)


async def test_the_database_keeps_names_and_secrets_apart(service: Service, database_url: str) -> None:
    """No statement, also none of another release, gives a registration a secret, or a name a second one."""
    key_id = await register(service, "DNS:orders.internal")
    other_id = await register(service, "DNS:other.internal")
    changes = (
        f"update api_keys set secret_hash = sha256('x') where api_key_id = '{key_id}'",
        f"update api_keys set previous_secret_hash = secret_hash where api_key_id = '{key_id}'",
        f"update api_keys set certificate_name = 'DNS:orders.internal' where api_key_id = '{other_id}'",
    )
    for change in changes:
        with pytest.raises(Exception, match=r"api_keys_(certificate_name_check|by_certificate_name)"):
            execute(database_url, change)


async def test_a_name_is_registered_once(guarded: Service, authorities: Authorities) -> None:
    """In all tenants together, until it is revoked; a second revocation leaves the new registration."""
    name, tenant = _name(), fresh_id()
    old_id = await register(guarded, name, tenant=tenant)
    taken = f"registered as the key {old_id} of the tenant '{tenant}'"
    with pytest.raises(CertificateNameTakenError, match=taken):
        await register(guarded, name)
    pair = authorities.issue(name)
    assert await authorities.reason(guarded, pair) == ACCEPTED
    for _ in range(2):
        await _revoke(guarded, authorities, old_id, tenant)
    await until(lambda: _reason_is(guarded, authorities, pair, UNKNOWN))
    await register(guarded, name)
    assert await authorities.reason(guarded, pair) == ACCEPTED
    await _revoke(guarded, authorities, old_id, tenant)
    _, marker = await make_key(guarded)
    assert await authorities.reason(guarded, pair, marker) == ACCEPTED  # the revocation has been read
    assert await authorities.reason(guarded, pair) == ACCEPTED


async def _reason_is(service: Service, authorities: Authorities, pair: Any, expected: str) -> bool:
    return await authorities.reason(service, pair) == expected


async def test_an_expired_registration(guarded: Service, authorities: Authorities) -> None:
    """It is refused as an expired key is."""
    name = _name()
    await register(guarded, name, expire_time=1)
    assert await authorities.reason(guarded, authorities.issue(name)) == "CREDENTIALS_EXPIRED"


async def test_a_certificate_expires_while_its_connection_is_open(
    guarded: Service, authorities: Authorities
) -> None:
    """TLS has checked the certificate only once; each call is refused from its end on."""
    name = _name()
    await register(guarded, name)
    pair = authorities.issue(name, days=8 / 86_400)
    async with authorities.client(guarded, pair) as client:
        assert await reason(client) == ACCEPTED
        await until(lambda: _is(client, "CREDENTIALS_EXPIRED"))
        with fails("UNAUTHENTICATED", "CREDENTIALS_EXPIRED") as failure:
            await call(client, "GetSession", "s")
    assert failure.message == "the client's certificate has expired: connect again with a new one"
    async with authorities.client(guarded, pair) as late:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(late, "GetSession", "s")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_last_use_is_noted(serve: Serve, database_url: str, authorities: Authorities) -> None:
    """As that of a key."""
    service = await authorities.serve(serve, database_url)
    await register(service, "DNS:orders.internal")
    assert await authorities.reason(service, authorities.issue("DNS:orders.internal")) == ACCEPTED
    assert service.app._credentials.held_keys is not None  # noqa: SLF001 - it stores uses once a minute
    await service.app._credentials.held_keys.store_uses()  # noqa: SLF001
    ((used,),) = execute(database_url, "select extract(epoch from last_use_time)::float8 from api_keys")
    assert abs(float(used) - time.time()) < 60


async def test_a_name_that_must_name_its_user(guarded: Service, authorities: Authorities) -> None:
    """As a key that must."""
    name = _name()
    await register(guarded, name, require_user_id=True)
    async with authorities.client(guarded, authorities.issue(name)) as client:
        with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
            await client.stub.ListSessions(spb.ListSessionsRequest())


async def test_a_resumed_session_of_tls(
    guarded: Service, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the identity of the certificate that the first connection showed, until this expires.

    TLS does not verify the certificate again, so it accepts the session of an expired one.
    """
    name, resumed = _name(), []
    authentication = guarded.app._authentication  # noqa: SLF001 - only it sees what TLS has done
    identify = authentication.identify

    async def noting(method: Any, context: Any) -> Any:
        resumed.append(b"true" in context.auth_context()["ssl_session_reused"])
        return await identify(method, context)

    monkeypatch.setattr(authentication, "identify", noting)
    await register(guarded, name)
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.ssl_session_cache", ssl_session_cache_lru(1)),
        ("grpc.ssl_target_name_override", "localhost"),  # gRPC resumes no session with an IP address
    ]
    tls = authorities.server.credentials(authorities.issue(name, days=10 / 86_400))

    async def answer() -> str:
        async with grpc.aio.secure_channel(guarded.address, tls, options=options) as channel:
            stub: Any = pb_grpc.SessionHistoryServiceStub
            try:
                await stub(channel).GetSession(spb.GetSessionRequest(session_id=fresh_id()))
            except grpc.aio.AioRpcError as error:
                return failure_of(error).reason
        return ""

    async def has_resumed() -> bool:  # the ticket may arrive after the end of a connection
        assert await answer() == ACCEPTED
        return resumed[-1]

    await until(has_resumed)

    async def has_expired() -> bool:
        return await answer() == "CREDENTIALS_EXPIRED"

    await until(has_expired)
    assert resumed[-1]
