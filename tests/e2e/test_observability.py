"""Request ids, log lines and metrics of calls."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2

from sessionhistory.v1 import history_pb2, message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.config import Address
from support.call_streams import made, reading
from support.errors import fails
from support.locks import locked
from support.metrics import Metrics
from support.proxy import free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_GET = pb.GetSessionRequest(session_id="s")
_LOGGER = "sessionhistory_server.rpc.accounting"


def _append(session_id: str = "s", *, window: int | None = None) -> pb.AppendMessageRequest:
    request = pb.AppendMessageRequest(
        session_id=session_id,
        message=message_pb2.Message(role=message_pb2.ROLE_USER, content="hello"),
        new_session=session_pb2.SessionFields(),
    )
    if window is not None:
        request.history.CopyFrom(history_pb2.HistoryOptions(max_messages=window))
    return request


async def _returned_id(call: grpc.aio.UnaryUnaryCall[object, object]) -> str:
    metadata = dict(await call.trailing_metadata() or ())
    return str(metadata["x-request-id"])


@pytest.mark.parametrize("method", ["GetSession", "AppendMessage"])
async def test_a_request_id_comes_back(service: Service, method: str) -> None:
    """A caller's own id comes back, whether the call succeeds or fails."""
    request = _GET if method == "GetSession" else _append()
    call = getattr(service.stub, method)(request, metadata=[("x-request-id", "order-7/a.b:c@d_e")])
    assert (await call.code()) is (
        grpc.StatusCode.NOT_FOUND if method == "GetSession" else grpc.StatusCode.OK
    )
    assert await _returned_id(call) == "order-7/a.b:c@d_e"


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "semi;colon", '{"a":1}', None])
async def test_a_bad_request_id_is_replaced(service: Service, given: str | None) -> None:
    """A missing or invalid id is replaced by a new one."""
    call = service.stub.AppendMessage(_append(), metadata=[] if given is None else [("x-request-id", given)])
    await call
    assert re.fullmatch(r"[0-9a-f]{16}", await _returned_id(call))


async def test_calls_are_logged_by_how_they_end(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """At info only failed calls are logged; at debug successful calls too."""
    with caplog.at_level(logging.INFO, _LOGGER):
        await service.stub.AppendMessage(_append())
        await service.health.Check(health_pb2.HealthCheckRequest())
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await service.stub.GetSession(pb.GetSessionRequest(session_id="none"))
        await until(lambda: any(r.name == _LOGGER for r in caplog.records))
    (record,) = (r for r in caplog.records if r.name == _LOGGER)
    assert (record.levelname, record.message, vars(record)["code"]) == ("INFO", "call", "NOT_FOUND")
    with caplog.at_level(logging.DEBUG, _LOGGER):
        await service.stub.AppendMessage(_append())
    record = caplog.records[-1]
    assert (record.levelname, record.message, vars(record)["code"]) == ("DEBUG", "call", "OK")


async def test_slow_calls_are_logged(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that takes longer than the limit is logged as a warning, with its time."""
    service = await serve(database_url, slow_call_millis=50)
    await service.stub.AppendMessage(_append())
    caplog.clear()
    with locked(database_url), pytest.raises(grpc.aio.AioRpcError):
        await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"), timeout=0.2)
    await until(lambda: any(r.message == "slow call" for r in caplog.records))
    (record,) = (r for r in caplog.records if r.message == "slow call")
    assert record.levelname == "WARNING"
    assert vars(record)["millis"] >= 50
    assert vars(record)["code"] == "DEADLINE_EXCEEDED"


async def test_metrics_count_what_happens(serve: Serve, database_url: str) -> None:
    """The metrics' own port shows calls by method and code, times, the pool, appends and windows by cut."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    for _ in range(3):
        await service.stub.AppendMessage(_append(window=2))
    batch = [message_pb2.Message(role=message_pb2.ROLE_USER, content="x") for _ in range(4)]
    await service.stub.AppendMessages(pb.AppendMessagesRequest(session_id="s", messages=batch))
    await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await service.stub.GetSession(pb.GetSessionRequest(session_id="none"))
    with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
        await service.stub.GetSession(pb.GetSessionRequest(session_id=" "))
    metrics = Metrics(port)
    # A refused call is counted after its answer is sent.
    await until(lambda: metrics.show(1, "sessionhistory_rpcs_total", "INVALID_ARGUMENT", "GetSession"))
    found = await metrics.fetch()
    assert found["sessionhistory_rpcs_total", "OK", "AppendMessage"] == 3
    assert found["sessionhistory_rpcs_total", "OK", "AppendMessages"] == 1
    assert found["sessionhistory_rpcs_total", "NOT_FOUND", "GetSession"] == 1
    assert found["sessionhistory_rpcs_total", "INVALID_ARGUMENT", "GetSession"] == 1
    assert found["sessionhistory_rpc_seconds_count", "GetSession"] == 2
    assert found["sessionhistory_rpc_seconds_bucket", "+Inf", "AppendMessage"] == 3
    assert 0 < found["sessionhistory_rpc_seconds_sum", "AppendMessage"] < 60
    assert found["sessionhistory_appended_messages_total",] == 7
    assert found["sessionhistory_windows_total", "MAX_MESSAGES"] == 1
    assert found["sessionhistory_windows_total", "NONE"] == 3
    assert found["sessionhistory_pool_connections",] == 8
    assert found["sessionhistory_pool_waiting",] == 0
    assert not [name for name, *_ in found if name.endswith("_created")]


async def test_calls_on_one_stream_are_counted_as_themselves(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls of a CallStream are counted and logged as if they were made alone."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    with caplog.at_level(logging.INFO, _LOGGER):
        await made(service.stub, {"append_message": _append(window=2)}, reading("none"))
        metrics = Metrics(port)
        await until(lambda: metrics.show(1, "sessionhistory_rpcs_total", "OK", "CallStream"))
    found = await metrics.fetch()
    assert found["sessionhistory_rpcs_total", "OK", "AppendMessage"] == 1
    assert found["sessionhistory_rpcs_total", "NOT_FOUND", "GetHistory"] == 1
    assert found["sessionhistory_appended_messages_total",] == 1
    (record,) = (r for r in caplog.records if r.name == _LOGGER)
    assert (record.levelname, vars(record)["code"]) == ("INFO", "NOT_FOUND")


async def test_calls_of_another_service_are_counted_with_its_name(serve: Serve, database_url: str) -> None:
    """A health check is counted under its service's name, and not as a method of ours."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    await service.health.Check(health_pb2.HealthCheckRequest())
    metrics = Metrics(port)
    counter = ("sessionhistory_rpcs_total", "OK", "grpc.health.v1.Health/Check")
    await until(lambda: metrics.show(1, *counter))
    assert await metrics.show(1, "sessionhistory_rpc_seconds_count", "grpc.health.v1.Health/Check")


async def test_metrics_tell_of_late_and_cancelled_calls(serve: Serve, database_url: str) -> None:
    """Late and cancelled calls are counted under their codes."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    await service.stub.AppendMessage(_append())
    metrics = Metrics(port)
    read = pb.GetHistoryRequest(session_id="s")

    async def counted(code: str) -> None:
        counter = ("sessionhistory_rpcs_total", code, "GetHistory")
        await until(lambda: metrics.show(1, *counter))

    async def available(connections: int) -> None:
        await until(lambda: metrics.show(connections, "sessionhistory_pool_available"))

    with locked(database_url):
        with pytest.raises(grpc.aio.AioRpcError):
            await service.stub.GetHistory(read, timeout=1)
        await counted("DEADLINE_EXCEEDED")
        await available(8)
        call = service.stub.GetHistory(read)
        await available(7)
        call.cancel()
        await counted("CANCELLED")
        await available(8)
        await made(service.stub, reading("s") | {"timeout": {"seconds": 1}})
        await until(lambda: metrics.show(2, "sessionhistory_rpcs_total", "DEADLINE_EXCEEDED", "GetHistory"))
