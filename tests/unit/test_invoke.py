"""What happens to every call, without a server."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from contextvars import Context
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    SessionHistoryError,
    UnavailableError,
    session_not_found,
    transaction_conflict,
)
from sessionhistory_server.model.caller import READ, WRITE
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.dispatch import Method, Terms
from sessionhistory_server.rpc.invoke import invoke, recorded
from support.callers import caller


class _Context:
    """The context of a call whose caller named no deadline."""

    def time_remaining(self) -> None:
        """Return no deadline."""


CONTEXT: Any = _Context()


class _Calls:
    """A method, with the steps and the codes of its calls."""

    def __init__(self, scope: str | None = READ, *, refuse: bool = False) -> None:
        self.done: list[str] = []
        self.codes: list[grpc.StatusCode] = []

        def check(checks: Any, request: Any) -> None:
            self.done.append("checked")
            checks.user_id("user_id", request)
            checks.require(not refuse, "field", "must be something else")

        async def call(*_: object) -> None:
            self.done.append("called")

        self.method = Method(
            "GetSession",
            "/x/GetSession",
            Terms(scope, check, is_large=False, lasts=False),
            call,
            Empty,
            Empty,
            str,
            str,
            streams_requests=False,
            streams_responses=False,
            is_vital=False,
            record=lambda code, _: self.codes.append(code),
        )


async def test_a_call_is_authorized_then_checked_then_made() -> None:
    """In this order, once."""
    calls = _Calls()
    await invoke(caller(), calls.method, "u", None)
    assert calls.done == ["checked", "called"]


@pytest.mark.parametrize(("scope", "scopes"), [(WRITE, {READ}), (READ, {WRITE}), (READ, set())])
async def test_a_caller_without_the_scope_is_refused(scope: str, scopes: set[str]) -> None:
    """It is PERMISSION_DENIED, whether the request is valid or not."""
    calls = _Calls(scope, refuse=True)
    with pytest.raises(PermissionDeniedError) as error:
        await invoke(caller()._replace(scopes=frozenset(scopes)), calls.method, "u", None)
    assert calls.done == []
    assert (error.value.reason, error.value.metadata) == ("SCOPE_MISSING", {"scope": scope})
    assert status.code_of(error.value) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_method_without_a_scope_is_for_everyone() -> None:
    """As health and reflection are."""
    calls = _Calls(None)
    await invoke(caller()._replace(scopes=frozenset()), calls.method, "u", None)
    assert calls.done == ["checked", "called"]


async def test_a_request_that_breaks_a_rule_is_not_made() -> None:
    """All violations are raised together; whether a user must be named is the caller's."""
    calls = _Calls(refuse=True)
    with pytest.raises(InvalidArgumentError) as error:
        await invoke(caller()._replace(must_name_user=True), calls.method, "", None)
    assert [violation.field for violation in error.value.violations] == ["user_id", "field"]
    assert calls.done == ["checked"]


async def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (session_not_found("s"), NotFoundError, grpc.StatusCode.NOT_FOUND),
        (ZeroDivisionError(), InternalError, grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_failed_call_is_recorded_once(
    error: Exception, told: type[Exception], code: grpc.StatusCode
) -> None:
    """Its caller is told the service's error; a defect's own text stays inside."""
    calls = _Calls()
    outcome = await recorded(calls.method, time.monotonic(), _raise(error), CONTEXT)
    assert type(outcome) is told
    assert calls.codes == [code]


class _Request:
    """A request; a weak reference shows when it is freed."""


async def _refuse(_request: _Request) -> None:
    raise session_not_found("s")


async def test_a_failed_call_frees_its_request_at_once() -> None:
    """A cycle would keep the requests of some hundred calls, until the garbage collector runs."""
    calls, request = _Calls(), _Request()
    freed = weakref.ref(request)
    gc.disable()
    try:
        outcome = await recorded(calls.method, time.monotonic(), _refuse(request), CONTEXT)
        del request
        assert isinstance(outcome, NotFoundError)
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("seconds_left", "error"), [(-0.001, DeadlineExceededError), (9, UnavailableError)])
async def test_a_passed_deadline_is_the_error_of_a_wait_for_a_lock(
    seconds_left: float, error: type[Exception]
) -> None:
    """Postgres ends the wait at the deadline, perhaps before the server's own timer has ended the call."""
    calls = _Calls()

    async def call() -> object:
        call_context.begin(CallContext("id", "method", deadline=time.monotonic() + seconds_left))
        return await recorded(calls.method, time.monotonic(), _raise(transaction_conflict()), CONTEXT)

    outcome = await asyncio.create_task(call())  # in a context of its own, for the other tests
    assert type(outcome) is error
    assert isinstance(outcome, SessionHistoryError)
    assert calls.codes == [status.code_of(outcome)]


async def test_a_cancelled_call_is_recorded_once() -> None:
    """Nobody is told anything, and the task ends as cancelled."""
    calls = _Calls()
    with pytest.raises(asyncio.CancelledError):
        await recorded(calls.method, time.monotonic(), _raise(asyncio.CancelledError()), CONTEXT)
    assert calls.codes == [grpc.StatusCode.CANCELLED]


async def test_a_call_that_succeeds_is_recorded_once() -> None:
    """Its result is returned."""
    calls = _Calls()
    assert await recorded(calls.method, time.monotonic(), asyncio.sleep(0, b"x"), CONTEXT) == b"x"
    assert calls.codes == [grpc.StatusCode.OK]


def test_outside_of_a_call_a_limit_is_not_kept() -> None:
    """Work that belongs to no call has no deadline, even after code that sets one."""
    Context().run(lambda: call_context.current().limit(0))
    assert Context().run(lambda: call_context.current().seconds_left) == math.inf
