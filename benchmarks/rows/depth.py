"""The cost of a call on much data, against its cost on little data; one call at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import SHORT_SESSION
from benchmarks.errors import InvalidError
from benchmarks.load import traffic
from benchmarks.load.traffic import Traffic
from benchmarks.measurement import Round, Row, Target
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.bench import Bench

    Rounds = Generator[Round, None, None]

_MILLIS: Final = 1_000
_LARGEST_PAGE: Final = 1_000


def _append(bench: Bench) -> Rounds:
    long = traffic.append_to(bench.service, [bench.long_session])
    # Each round has a new short session, which must not become long itself.
    for session_id in bench.filled_sessions(bench.scale.rounds, SHORT_SESSION):
        yield _round(bench, long, traffic.append_to(bench.service, [session_id]))


def _history(bench: Bench) -> Rounds:
    long = traffic.windows_of(bench.service, [bench.long_session])
    short = traffic.windows_of(bench.service, bench.filled_sessions(1, SHORT_SESSION))
    for _ in bench.rounds():
        yield _round(bench, long, short)


def _sessions_page(bench: Bench) -> Rounds:
    yield from _pages(bench, pb.ListSessionsRequest(user_id=bench.user_of_many))


def _messages_page(bench: Bench) -> Rounds:
    yield from _pages(bench, pb.ListMessagesRequest(session_id=bench.long_session))


def _pages(bench: Bench, request: Any) -> Rounds:  # noqa: ANN401 - of either list
    request.page_size = bench.scale.page_size
    first = bench.service.record(request)
    request.page_token = _token(bench, request, (bench.scale.deep_page - 1) * bench.scale.page_size)
    deep = bench.service.record(request)
    if abs(len(deep.answer) - len(first.answer)) > len(first.answer) // 5:
        raise InvalidError("the pages differ in size")
    pages = [Traffic(sessions=[], calls=[page], messages_each=0) for page in (deep, first)]
    for _ in bench.rounds():
        yield _round(bench, *pages)


def _token(bench: Bench, request: Any, skipped: int) -> str:  # noqa: ANN401 - of either list
    """Return the page token behind the first ``skipped`` items."""
    page = type(request)()
    page.CopyFrom(request)
    while skipped:
        page.page_size = min(skipped, _LARGEST_PAGE)
        answer = bench.service.ask(page)
        page.page_token = answer.next_page_token
        skipped -= len(getattr(answer, "sessions", None) or answer.messages)
    return str(page.page_token)


def _round(bench: Bench, much: Traffic, little: Traffic) -> Round:
    return Round(median_millis(bench, much), median_millis(bench, little))


def median_millis(bench: Bench, load: Traffic) -> float:
    """Make one call after the other for a round; return the median latency in milliseconds."""
    with traffic.all_stored(bench.database_url, load) as loads:
        loads.append(bench.alone(bench.service, *load.calls))
    return loads[0].quantile(0.5) * _MILLIS


_row = partial(Row, unit="ms", target=Target(1.2, at_most=True))
_session_row = partial(_row, measured="{long_session} messages", against=f"{SHORT_SESSION} messages")
_page_row = partial(_row, measured="page {deep_page}", against="page 1")

ROWS: Final = (
    _session_row(
        name="append-long",
        title="AppendMessage to a session of {long_session} messages",
        run=_append,
    ),
    _session_row(
        name="history-long",
        title="GetHistory of a session of {long_session} messages",
        run=_history,
    ),
    _page_row(
        name="sessions-page",
        title="page {deep_page} of ListSessions, {many_sessions} sessions",
        run=_sessions_page,
    ),
    _page_row(
        name="messages-page",
        title="page {deep_page} of ListMessages, {long_session} messages",
        run=_messages_page,
    ),
)
