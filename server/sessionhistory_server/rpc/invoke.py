"""The two functions that every call passes, alone or on a CallStream.

``recorded`` is the outer one: it catches each error, and records the end of the call. ``invoke`` is the inner
one: it authorizes the caller, checks the request, and calls the servicer. Between the two, ``rpc.receive``
reads the request and sets the deadline, and ``rpc.streaming.call_stream`` does so for the calls of a stream.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import grpc

from sessionhistory_server import call_context
from sessionhistory_server.call_context import Subject
from sessionhistory_server.credentials.errors import scope_missing
from sessionhistory_server.errors import (
    DeadlineExceededError,
    InternalError,
    PermissionDeniedError,
    SessionHistoryError,
)
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.deadlines import cancelled_code
from sessionhistory_server.rpc.validation.checks import Checks

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.peers.connection import Context

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def invoke(caller: Caller, method: Method, request: object, response: object) -> None:
    """Authorize a call, check its request, and call the servicer, which fills in the response.

    Args:
        caller: The caller of this call.
        method: The method.
        request: The request, or the ``Reader`` of a stream of requests.
        response: The response to fill in, or the ``Sender`` of a stream of responses.

    Raises:
        SessionHistoryError: the call fails. The caller gets this error.
    """
    terms = method.terms
    missing_scope = None if terms.scope in caller.scopes else terms.scope
    if missing_scope is not None or terms.act is not None:
        _note_for_trail(caller, method, request)
    if missing_scope is not None:
        raise scope_missing(method.name, missing_scope, has_credential=caller.credential_id is not None)
    if terms.check is not None:
        checks = Checks(must_name_user=caller.must_name_user)
        terms.check(checks, request)
        checks.finish()
    try:
        await method.call(caller, request, response)
    except PermissionDeniedError:  # the new session would be of another application
        if terms.act is None:
            _note_for_trail(caller, method, request)
        raise


def _note_for_trail(caller: Caller, method: Method, request: object) -> None:
    """Note the ids and the act of a call, which the trail shows once the call has ended."""
    act = method.terms.act
    call_context.current().subject = Subject(
        caller.tenant_id,
        caller.credential_id or "",
        session_id=method.session_of(request),
        act="" if act is None else act(request),
    )


async def recorded(
    method: Method, began: float, call: Awaitable[T], context: Context
) -> T | SessionHistoryError:
    """Return the result of a call, or the error for its caller. Record the outcome.

    Args:
        method: The method of the call.
        began: When the call began, by the monotonic clock.
        call: The work of the call, from the bytes of its request to the bytes of its response.
        context: Gives the reason if the call is cancelled.
    """
    code = grpc.StatusCode.OK
    try:
        return await call
    except SessionHistoryError as error:
        # Without its traceback: the frames hold the request, and this frame holds the error.
        error_for_caller = _deadline_first(error).with_traceback(None)
        code = status.code_of(error_for_caller)
        return error_for_caller
    except asyncio.CancelledError:
        code = cancelled_code(context)
        raise
    except Exception:  # noqa: BLE001 - a defect must neither reach the caller nor end another call
        code = grpc.StatusCode.INTERNAL
        _log.exception("internal error")
        return InternalError(call_context.current().request_id)
    finally:
        method.record(code, began)


def _deadline_first(error: SessionHistoryError) -> SessionHistoryError:
    """Return the error of a passed deadline in place of a lock's: the deadline limits the wait for a lock."""
    is_late = error.reason == "TRANSACTION_CONFLICT" and call_context.current().seconds_left <= 0
    return DeadlineExceededError() if is_late else error
