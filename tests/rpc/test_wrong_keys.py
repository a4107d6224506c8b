"""Wrong keys are refused by the same answer and the same work, and do not keep out right ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from rpc_support import call, fresh_id

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.credentials import key_ring
from sessionhistory_server.store import api_keys, generations
from sessionhistory_server.usecases import following
from support.errors import fails
from support.keys import credentials, holding, make_key, refused, register
from support.locks import locked, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


@pytest_asyncio.fixture
async def patient(serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A server that asks for keys, and looks for changes only if a call has an unknown one."""
    monkeypatch.setattr(following, "REFRESH_SECONDS", 3_600)
    monkeypatch.setattr(following, "_SOON_SECONDS", 0)
    return await serve(database_url, auth=("keys",))


async def _rotated(service: Service) -> str:
    """Return the id of a key that has two secrets."""
    key_id, secret = await make_key(service)
    request = pb.RotateApiKeyRequest(api_key_id=key_id, overlap=Duration(seconds=3_600))
    await credentials(service, secret).RotateApiKey(request)
    return key_id


async def _wrong_keys(service: Service) -> dict[str, str]:
    """Return keys that are no longer valid, or never were, by the reason."""
    revoked_id, revoked = await make_key(service)
    _, admin = await make_key(service)
    await credentials(service, admin).RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=revoked_id))
    ids = {
        "an unknown id": key_text.new_id(),
        "another secret": (await make_key(service))[0],
        "another secret, of two": await _rotated(service),
        "another secret of an expired key": (await make_key(service, expire_time=1))[0],
        "another secret of another tenant's key": (await make_key(service, tenant="other"))[0],
        "a secret of a registered certificate": await register(service, "DNS:client.example"),
        "another secret of a bound key": (await make_key(service, user_id="ada", scopes=("read",)))[0],
    }
    return {"a revoked key": revoked} | {reason: key_text.new_key(key_id) for reason, key_id in ids.items()}


async def test_every_wrong_key_is_the_same_answer_and_the_same_work(
    patient: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many reads of the database, and comparisons of as many bytes: no time shows which ids exist."""
    wrong = await _wrong_keys(patient)
    await refused(call(holding(patient, key_text.new_key(key_text.new_id())), "GetSession", "s"))
    work: list[tuple[Any, ...]] = []

    def record(module: Any, name: str, sizes: Callable[..., tuple[int, ...]] = lambda *_, **__: ()) -> None:
        original = getattr(module, name)

        def recorded(*given: Any, **named: Any) -> Any:
            work.append((name, *sizes(*given)))
            return original(*given, **named)

        monkeypatch.setattr(module, name, recorded)

    record(key_ring, "compare_digest", lambda *given: tuple(map(len, given)))
    record(generations, "state")
    record(api_keys, "changed")
    found = {}
    for reason, key in wrong.items():
        work.clear()
        found[reason] = (await refused(call(holding(patient, key), "GetSession", "s")), tuple(work))
    failure, done = found["an unknown id"]
    assert (failure.reason, failure.metadata) == ("CREDENTIALS_INVALID", {})
    assert [name for name, *_ in done] == ["compare_digest"] * 2 + ["state"] + ["compare_digest"] * 2
    assert {reason for reason, outcome in found.items() if outcome != (failure, done)} == set()


@pytest.mark.parametrize("key", ["shk_", "a" * 70, f"shk_{'a' * 16}_{'b' * 49}"])
async def test_a_mistyped_key_costs_no_read(
    patient: Service, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The checksum of a key shows that no database can have it."""

    async def read(*_: object) -> None:
        pytest.fail("the database was read")

    monkeypatch.setattr(generations, "state", read)
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID"):
        await call(holding(patient, key), "GetSession", "s")


async def test_a_new_key_gets_through_a_flood_of_wrong_ones(patient: Service, database_url: str) -> None:
    """While too many wrong keys wait, a new key is not called wrong: its caller is to try again soon."""
    known = (await make_key(patient))[1]
    assert await _reason(patient, known) == "SESSION_NOT_FOUND"
    new = (await make_key(patient))[1]
    with locked(database_url, "credential_state"):
        wrong = [key_text.new_key(key_text.new_id()) for _ in range(200)]
        flood = [asyncio.create_task(_reason(patient, key)) for key in wrong]
        await until(lambda: sum(each.done() for each in flood) == len(flood) - following._MAX_WAITING)  # noqa: SLF001
        assert await _reason(patient, known) == "SESSION_NOT_FOUND"
        with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED") as failure:
            await call(holding(patient, new), "GetSession", "s")
        assert failure.retry_seconds
        assert waiting(database_url) == 1
    assert set(await asyncio.gather(*flood)) == {"SERVER_OVERLOADED", "CREDENTIALS_INVALID"}
    assert await _reason(patient, new) == "SESSION_NOT_FOUND"


async def test_a_new_key_is_found_if_the_call_before_has_gone(
    patient: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call looks for changes for the others that wait, too, unless it is cancelled meanwhile."""
    await _reason(patient, _unknown())  # the tables are read once
    original, begun = generations.state, 0
    steps = [asyncio.Event(), asyncio.Event()]

    async def state(connection: Any) -> Any:
        nonlocal begun
        begun += 1
        found = await original(connection)
        if begun <= len(steps):
            await steps[begun - 1].wait()
        return found

    def waiting_calls() -> int:
        return patient.app._following._waiting  # noqa: SLF001 - no call shows it

    monkeypatch.setattr(generations, "state", state)
    before, cancelled = (asyncio.create_task(_reason(patient, _unknown())) for _ in range(2))
    await until(lambda: (begun, waiting_calls()) == (1, 2))
    last = asyncio.create_task(_reason(patient, (await make_key(patient))[1]))
    await until(lambda: waiting_calls() == 3)
    steps[0].set()
    await until(lambda: begun == 2)
    cancelled.cancel()
    await before
    assert await last == "SESSION_NOT_FOUND"


def _unknown() -> str:
    return key_text.new_key(key_text.new_id())


async def _reason(service: Service, key: str) -> str:
    return (await refused(call(holding(service, key), "GetSession", fresh_id()))).reason
