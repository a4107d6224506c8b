"""Count the calls that have ended, write the access log, and write the trail."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Final

import grpc

from sessionhistory_server import call_context
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.validation.checks import is_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.observability.counters import Metrics

    Record = Callable[[grpc.StatusCode, float], None]

_USUAL: Final = frozenset({grpc.StatusCode.OK})
_USUAL_OF_LASTING: Final = _USUAL | {grpc.StatusCode.CANCELLED}

_REFUSALS: Final = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})

_log = logging.getLogger(__name__)


class Accounting:
    """Makes a recorder for each method, which counts and logs the calls of the method.

    ``dispatch`` puts the recorder into the ``Method``, and ``invoke.recorded`` calls it there.

    Args:
        metrics: Counts the calls.
        slow_seconds: A call that takes at least this long is logged as slow.
    """

    def __init__(self, metrics: Metrics, slow_seconds: float) -> None:
        self._metrics = metrics
        self._slow_seconds = slow_seconds

    def recorder_of(self, name: str, *, is_stream: bool, lasts: bool) -> Record:
        """Return the function that records an ended call of a method, from its code and its start time.

        A call that ends as usual is logged at debug. A caller usually ends a lasting stream by cancelling it.
        A stream is never slow, because its caller decides how long it lasts. The calls of a CallStream are
        recorded as calls of their own.
        """
        count = self._metrics.calls_of(name)
        usual = _USUAL_OF_LASTING if lasts else _USUAL
        slow_seconds = math.inf if is_stream else self._slow_seconds

        def record(code: grpc.StatusCode, began: float) -> None:
            seconds = time.monotonic() - began
            count(code.name, seconds)
            _write_trail(code)
            if seconds >= slow_seconds:
                _write(logging.WARNING, "slow call", code, seconds)
            else:
                _write(logging.DEBUG if code in usual else logging.INFO, "call", code, seconds)

        return record


def _write(level: int, event: str, code: grpc.StatusCode, seconds: float) -> None:
    if _log.isEnabledFor(level):
        _log.log(level, event, extra={"code": code.name, "millis": round(seconds * 1_000, 1)})


def _write_trail(code: grpc.StatusCode) -> None:
    """Write the event of the current call if it was an administrative act, or was refused for lack of rights.

    The event shows the session's id only if it is valid: the request of a refused call was not checked.
    """
    subject = call_context.current().subject
    act = trail.REFUSAL if code in _REFUSALS else subject.act
    if act:
        session_id = subject.session_id if is_id(subject.session_id) else ""
        trail.write(subject._replace(act=act, session_id=session_id), code.name)
