"""MultiCall: several calls in one request, each as if it were made alone."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import logs
from sessionhistory_server.errors import InternalError, SessionHistoryError
from sessionhistory_server.limits import KIB, MAX_CALLS
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.base import Servicer
from sessionhistory_server.rpc.checks import Checks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from sessionhistory_server.rpc.handlers import Answers
    from sessionhistory_server.rpc.servicer import HistoryServicer

    Ended = Callable[[grpc.StatusCode, float], None]

# Far below what anything on the way may refuse.
_MAX_JOINED_BYTES: Final = 512 * KIB

_log = logging.getLogger(__name__)


class _Method(NamedTuple):
    """A method: what fills in its response in place, and what is told of each call that has ended."""

    name: str
    fill: Callable[[Any, Any], Awaitable[None]]
    ended: Ended


class MultiCallServicer(Servicer):
    """Several calls at once of the methods that are called most."""

    def __init__(self, history: HistoryServicer, ended: Callable[[str], Ended]) -> None:
        super().__init__(require_user_id=history.require_user_id)
        self._methods: Final = {
            "append_message": _Method("AppendMessage", history.append_message, ended("AppendMessage")),
            "get_history": _Method("GetHistory", history.get_history, ended("GetHistory")),
        }

    async def MultiCall(self, request: pb.MultiCallRequest, answers: Answers) -> None:
        """Make the calls, and send what has come of them as it comes."""
        _check(request)
        outcomes = _Outcomes()
        calls = [
            asyncio.create_task(self._make(index, entry, outcomes, answers))
            for index, entry in enumerate(request.calls)
        ]
        for call in calls:
            call.add_done_callback(outcomes.wake)
        try:
            done = False
            while not done:
                await outcomes.changed()
                done = all(call.done() for call in calls)
                for response in _responses(outcomes.take()):
                    await answers.send(response)
        finally:
            for call in calls:
                call.cancel()

    async def _make(
        self, index: int, entry: pb.MultiCallEntry, outcomes: _Outcomes, answers: Answers
    ) -> None:
        kind = str(entry.WhichOneof("call"))
        method = self._methods[kind]
        logs.bind(method=method.name)
        request_id = logs.bound("request_id")
        started, code = time.perf_counter(), grpc.StatusCode.OK
        # A response of its own: put together, they are one.
        response = pb.MultiCallResponse()
        outcome = response.outcomes.add(index=index)
        filled = getattr(outcome, kind)
        filled.SetInParent()
        try:
            await method.fill(getattr(entry, kind), filled)
        except SessionHistoryError as error:
            code = status.code_of(error)
            outcome.error = status.details_of(error, request_id)
        except asyncio.CancelledError:
            code = answers.cancelled_code
            raise
        except Exception:  # noqa: BLE001 - the last resort, for each call as in Calls: neighbours go on
            code = grpc.StatusCode.INTERNAL
            _log.exception("internal error")
            outcome.error = status.details_of(InternalError(request_id), request_id)
        finally:
            method.ended(code, started)
        outcomes.add(response.SerializeToString())


class _Outcomes:
    """Serialized responses of one outcome each, until they are taken."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._changed = asyncio.Event()

    def add(self, response: bytes) -> None:
        self._waiting.append(response)

    def wake(self, _: object) -> None:
        self._changed.set()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def take(self) -> list[bytes]:
        taken, self._waiting = self._waiting, []
        return taken


def _check(request: pb.MultiCallRequest) -> None:
    checks = Checks()
    if checks.length("calls", request.calls, MAX_CALLS, minimum=1):
        for index, entry in enumerate(request.calls):
            rule = "must set one of append_message, get_history"
            checks.require(entry.WhichOneof("call"), f"calls[{index}]", rule)
    checks.finish()


def _responses(single: Sequence[bytes]) -> Iterator[bytes]:
    """Put small responses together."""
    together: list[bytes] = []
    size = 0
    for response in single:
        if together and size + len(response) > _MAX_JOINED_BYTES:
            yield b"".join(together)
            together, size = [], 0
        together.append(response)
        size += len(response)
    if together:
        yield b"".join(together)
