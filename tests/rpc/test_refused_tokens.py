"""A token is refused by its id, by every server, until it expires."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import call, fresh_id

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server.store import refused_tokens as store
from support.databases import execute
from support.errors import fails, failure_of
from support.keys import credentials, holding, make_key
from support.tokens import IssuerKey, jwt_settings, publish
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.proxy import Proxy
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

pytestmark = pytest.mark.pooled

KEY = IssuerKey("k")
LATER = Timestamp(seconds=4_000_000_000, nanos=1_000)
CLAIMS = "tenant=org,user=sub,application=azp,scopes=scope"


def token(**claims: Any) -> str:
    """Return a token of a tenant, with an id of its own."""
    return KEY.token(**{"org": "acme", "azp": "web", "jti": fresh_id()} | claims)


@pytest_asyncio.fixture
async def two(serve: Serve, database_url: str, tmp_path: Path) -> list[Service]:
    """Two servers of one database. Each holds the refusals by itself, as workers do."""
    publish(tmp_path / "keys.json", KEY)
    settings = jwt_settings(tmp_path / "keys.json", auth=("keys", "jwt"), jwt_claims=CLAIMS)
    return [await serve(database_url, **settings) for _ in range(2)]


async def _admin(service: Service, tenant: str = "acme", **fields: Any) -> Any:
    return credentials(service, (await make_key(service, tenant=tenant, **fields))[1])


async def _refuse(admin: Any, token_id: str, expire_time: Timestamp = LATER) -> pb.RefusedToken:
    response = await admin.RefuseToken(pb.RefuseTokenRequest(token_id=token_id, expire_time=expire_time))
    return response.refused_token


async def _reason(service: Service, text: str) -> str:
    try:
        await call(holding(service, text), "GetSession", fresh_id())
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return ""


async def _until_refused(services: list[Service], text: str) -> None:
    for service in services:

        async def refuses(service: Service = service) -> bool:
            return await _reason(service, text) == "CREDENTIALS_INVALID"

        await until(refuses)


async def test_a_refused_token_is_refused_by_all(two: list[Service]) -> None:
    """Also where it is remembered. Other tokens are accepted."""
    text, other = token(jti="id-1"), token(jti="id-2")
    for service in two:
        assert await _reason(service, text) == "SESSION_NOT_FOUND"
    refused = await _refuse(await _admin(two[0]), "id-1")
    assert (refused.token_id, refused.user_id, refused.expire_time) == ("id-1", "", LATER)
    await _until_refused(two, text)
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
        await call(holding(two[0], text), "GetSession", "s")
    assert failure.message == "the token is refused: its id is in the list of refused tokens"
    for service in two:
        assert await _reason(service, other) == "SESSION_NOT_FOUND"


async def test_a_token_without_an_id_is_refused_by_its_digest(two: list[Service]) -> None:
    """The one that the log shows."""
    text = token(jti=None)
    assert await _reason(two[0], text) == "SESSION_NOT_FOUND"
    token_id = two[0].app._credentials.tokens.id_of(text)  # type: ignore[union-attr]  # noqa: SLF001 - as the trail does
    assert token_id.startswith("sha256:")
    await _refuse(await _admin(two[0]), token_id)
    await _until_refused(two, text)


async def test_a_stream_breaks_when_its_token_is_refused(two: list[Service]) -> None:
    """On every server, within seconds."""
    text = token(jti="id-1")
    streams: list[Any] = [holding(service, text).stub.AppendMessageStream() for service in two]
    for number, stream in enumerate(streams):
        header = {"session_id": f"s{number}", "message": {"message_id": "m", "role": 3}, "new_session": {}}
        await stream.write(stream_pb.AppendMessageStreamRequest(header=header))
        await stream.initial_metadata()
    await _refuse(await _admin(two[0]), "id-1")
    for stream in streams:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream
        failure = failure_of(caught.value)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_a_refusal_is_of_one_tenant(two: list[Service]) -> None:
    """Another tenant's token with the same id is accepted, and another tenant's admin sees nothing."""
    ours, theirs = token(jti="id-1"), token(jti="id-1", org="other")
    await _refuse(await _admin(two[0]), "id-1")
    await _until_refused(two, ours)
    assert await _reason(two[0], theirs) == "SESSION_NOT_FOUND"
    other = await _admin(two[0], "other")
    assert not (await other.ListRefusedTokens(pb.ListRefusedTokensRequest())).refused_tokens


async def test_a_caller_of_a_user_refuses_tokens_of_this_user(two: list[Service]) -> None:
    """A token with the scope admin ends no other user's tokens, and sees no other refusals."""
    ada, eve = token(jti="id-1"), token(jti="id-1", sub="eve")
    admin = credentials(two[0], token())
    assert (await _refuse(admin, "id-1")).user_id == "ada"
    await _until_refused(two, ada)
    assert await _reason(two[0], eve) == "SESSION_NOT_FOUND"
    everyones = await _admin(two[0])
    await _refuse(everyones, "id-2")
    request = pb.ListRefusedTokensRequest()
    assert [each.token_id for each in (await admin.ListRefusedTokens(request)).refused_tokens] == ["id-1"]
    assert [each.token_id for each in (await everyones.ListRefusedTokens(request)).refused_tokens] == [
        "id-2",
        "id-1",
    ]
    await _refuse(everyones, "id-1")
    await _until_refused(two, eve)


async def test_a_caller_of_an_application_refuses_tokens_of_this_application(two: list[Service]) -> None:
    """And no others, also not those without an application."""
    of_app, of_other = token(jti="id-1", azp="app"), token(jti="id-1", azp="other")
    admin = await _admin(two[0], application_id="app")
    assert (await _refuse(admin, "id-1")).application_id == "app"
    await _until_refused(two, of_app)
    assert await _reason(two[0], of_other) == "SESSION_NOT_FOUND"
    await _refuse(await _admin(two[0]), "id-1")
    await _until_refused(two, of_other)
    listed = await admin.ListRefusedTokens(pb.ListRefusedTokensRequest())
    assert [each.application_id for each in listed.refused_tokens] == ["app"]


async def test_refused_tokens_are_listed_page_by_page(two: list[Service]) -> None:
    """The last refused first. A token that is refused again has its later expiry, and its first time."""
    admin = await _admin(two[0])
    made = [await _refuse(admin, f"id-{number}") for number in range(5)]
    earlier = Timestamp(seconds=int(time.time()) + 60)
    again = await _refuse(admin, "id-0", earlier)
    assert (again.expire_time, again.refuse_time) == (LATER, made[0].refuse_time)
    found: list[str] = []
    request = pb.ListRefusedTokensRequest(page_size=2)
    while True:
        page = await admin.ListRefusedTokens(request)
        found += [each.token_id for each in page.refused_tokens]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == ["id-0", "id-4", "id-3", "id-2", "id-1"]


async def test_a_refusal_ends_with_its_token(two: list[Service], database_url: str) -> None:
    """Some minutes after the token's expiry it is neither listed nor kept."""
    admin = await _admin(two[0])
    await _refuse(admin, "id-1")
    execute(database_url, "update refused_tokens set expire_time = now() - interval '299 seconds'")
    request = pb.ListRefusedTokensRequest()
    assert len((await admin.ListRefusedTokens(request)).refused_tokens) == 1
    execute(database_url, "update refused_tokens set expire_time = now() - interval '301 seconds'")
    assert not (await admin.ListRefusedTokens(request)).refused_tokens
    await _refuse(admin, "id-2")
    assert execute(database_url, "select token_id from refused_tokens") == [("id-2",)]


@pytest.mark.parametrize("limit", ["MAX_REFUSED_TOKENS_OF_TENANT", "MAX_REFUSED_TOKENS"])
async def test_refused_tokens_are_few(
    two: list[Service], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """One that is refused already can be refused again at the limit."""
    monkeypatch.setattr(store, limit, 2)
    admin = await _admin(two[0])
    for token_id in ("id-1", "id-2", "id-1"):
        await _refuse(admin, token_id)
    with fails("FAILED_PRECONDITION", "TOO_MANY_REFUSED_TOKENS") as failure:
        await _refuse(admin, "id-3")
    assert failure.metadata == {"max_refused_tokens": "2"}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("token_id", {"token_id": ""}),
        ("token_id", {"token_id": "a b"}),
        ("token_id", {"token_id": "x" * 257}),
        ("expire_time", {"expire_time": None}),
        ("expire_time", {"expire_time": Timestamp(seconds=1)}),
        ("expire_time", {"expire_time": Timestamp(seconds=4_000_000_000, nanos=-1)}),
    ],
)
async def test_a_request_that_breaks_a_rule(two: list[Service], field: str, fields: dict[str, Any]) -> None:
    """The error names the field."""
    request = pb.RefuseTokenRequest(**{"token_id": "id", "expire_time": LATER} | fields)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await (await _admin(two[0])).RefuseToken(request)
    assert field in failure.violations


async def test_until_the_refusals_are_read_no_token_is_accepted(
    serve: Serve, database_url: str, proxy: Proxy, tmp_path: Path
) -> None:
    """A server that starts without its database does not know which tokens were withdrawn."""
    publish(tmp_path / "keys.json", KEY)
    settings = jwt_settings(tmp_path / "keys.json", jwt_claims=CLAIMS)
    first = await serve(database_url, **settings)
    text, other = token(jti="id-1"), token()
    await _refuse(credentials(first, token()), "id-1")
    await proxy.refuse()
    service = await serve(proxy.url, serving=False, **settings)
    for each in (text, other):
        with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE"):
            await call(holding(service, each), "GetSession", "s")
    proxy.heal()
    await service.wait_until_serving()
    assert await _reason(service, other) == "SESSION_NOT_FOUND"
    assert await _reason(service, text) == "CREDENTIALS_INVALID"
