"""Limits of calls in a second, for tenants and for users."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from rpc_support import append, call, create, said
from stream_support import finish, header, stream, text

from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory_server.rpc import receive
from sessionhistory_server.rpc.load import pace
from sessionhistory_server.rpc.load.rates import Rates
from support.call_streams import made, reading, reason_of
from support.errors import fails
from support.keys import credentials, holder, make_key
from support.limits import limit
from support.service import SERVING
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service


@pytest.fixture(autouse=True)
def _no_second_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all calls of a test be in one second."""
    begin = Rates.__init__

    def stopped(rates: Rates, *arguments: Any) -> None:
        begin(rates, *arguments, clock=lambda: 1_000.0)

    monkeypatch.setattr(Rates, "__init__", stopped)


@pytest_asyncio.fixture
async def service(serve: Callable[..., Awaitable[Service]], database_url: str) -> Service:
    """A service that applies limits and asks for keys."""
    return await serve(database_url, limits=True, auth=("keys",))


def limited() -> Any:
    """Expect a call to be refused because of a limit."""
    return fails("RESOURCE_EXHAUSTED", "RATE_LIMITED")


async def test_a_tenant_has_a_limit_of_its_own(service: Service) -> None:
    """The call after the limit is refused, whatever user it names; another tenant, health and keys go on."""
    ada, eve = await holder(service, tenant="ada"), await holder(service, tenant="eve")
    await limit(service, "ada", tenant_requests_per_second=3)
    for number in range(3):
        await create(ada, f"{number}", user_id=f"user-{number}")
    with limited() as refused:
        await create(ada, "3")
    assert refused.metadata == {"limit": "tenant_requests_per_second", "max": "3"}
    assert refused.retry_seconds is not None
    assert 0 < refused.retry_seconds < 2
    for number in range(10):
        await create(eve, f"{number}")
    await service.wait_until_serving(SERVING)
    admin = credentials(service, (await make_key(service, tenant="ada"))[1])
    assert (await admin.ListApiKeys(credentials_pb.ListApiKeysRequest())).api_keys


async def test_users_have_limits_of_their_own(service: Service) -> None:
    """A user beyond its limit takes nothing from the limit of its tenant."""
    ada = await holder(service, tenant="ada")
    await limit(service, tenant_requests_per_second=5, user_requests_per_second=2)
    for number in range(2):
        await create(ada, f"{number}", user_id="busy")
    for _ in range(5):
        with limited() as refused:
            await create(ada, "more", user_id="busy")
        assert refused.metadata == {"limit": "user_requests_per_second", "max": "2"}
    for number in range(2, 4):
        await create(ada, f"{number}", user_id="calm")
    await create(ada, "4")
    with limited() as refused:
        await create(ada, "5", user_id="third")
    assert refused.metadata["limit"] == "tenant_requests_per_second"


async def test_each_call_of_a_stream_counts(service: Service) -> None:
    """The stream itself does not, but it does not begin for a tenant that has reached its limit."""
    ada = await holder(service, tenant="ada")
    await create(ada, "s")
    await limit(service, "ada", tenant_requests_per_second=4)
    outcomes = await made(ada.stub, *[reading("s")] * 6)
    failed = [outcome for outcome in outcomes if outcome.HasField("error")]
    assert len(failed) == 2
    assert {reason_of(outcome) for outcome in failed} == {("RESOURCE_EXHAUSTED", "RATE_LIMITED")}
    with limited():
        await made(ada.stub, *[reading("s")] * 6)


async def test_a_stream_counts_once_when_it_begins(service: Service) -> None:
    """Its pieces do not count, and a stream beyond the limit stores nothing."""
    ada = await holder(service, tenant="ada")
    await create(ada, "s")
    await limit(service, "ada", tenant_requests_per_second=2)
    await stream(ada, header(message_id="1"), *[text("piece")] * 10, finish())
    await append(ada, "s", said())
    with limited():
        await stream(ada, header(message_id="2"), text("piece"), finish())


async def test_limits_apply_without_keys(serve: Callable[..., Awaitable[Service]], database_url: str) -> None:
    """All callers of an open server are one tenant, and the users that calls name have limits."""
    service = await serve(database_url, limits=True)
    await limit(service, user_requests_per_second=1)
    await create(service, "s", user_id="u")
    with limited():
        await call(service, "GetSession", "s", "u")
    await create(service, "t", user_id="v")
    await create(service, "w")
    await until(lambda: service.app._load.is_idle)  # noqa: SLF001 - only tests ask


async def test_a_refusal_that_waits_holds_no_request(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user beyond its limit is refused after its request is read, which may be large."""
    parsed: list[Any] = []

    def parse(request_type: Any, data: bytes) -> Any:
        parsed.append(request_type.FromString(data))
        return parsed[-1]

    ada = await holder(service, tenant="ada")
    await limit(service, "ada", user_requests_per_second=0)
    monkeypatch.setattr(receive, "parse", parse)
    monkeypatch.setattr(pace, "_AT_ONCE", 0)
    monkeypatch.setattr(pace, "_PER_SECOND", 1e-6)
    monkeypatch.setattr(pace, "_LONGEST_SECONDS", 1e6)
    refused = asyncio.ensure_future(create(ada, "s", user_id="u"))
    load = service.app._load  # noqa: SLF001 - only tests ask
    await until(lambda: len(load._pace._waiting) == 1)  # noqa: SLF001
    await until(lambda: sys.getrefcount(parsed[0]) == 2)  # the list and the argument
    load._pace._answer_next()  # noqa: SLF001
    with limited():
        await refused
