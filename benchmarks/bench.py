"""What the rows share: a database with the service's schema, the service, the load, and how much of it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Final

from benchmarks import fill, servers, traffic
from benchmarks.load import IN_FLIGHT, H2load
from benchmarks.measuring import InvalidError
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from benchmarks.calls import Call
    from benchmarks.load import Load
    from benchmarks.scale import Scale
    from benchmarks.servers import Server
    from benchmarks.traffic import Traffic

SHORT_SESSION: Final = 100


class Bench:
    """A run: what is made for one row is there for the next, and gone with the end of the block.

    Args:
        scale: How much is measured.
        folder: For logs and other files that nobody needs afterwards.
        database_url: A database with the service's schema and nothing else of value.
        on_progress: Called with the share of the present row that is done.
    """

    def __init__(
        self,
        scale: Scale,
        folder: Path,
        database_url: str,
        on_progress: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.scale = scale
        self.folder = folder
        self.database_url = database_url
        self.on_progress = on_progress
        self.h2load = H2load(folder)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def closed_loop(
        self, server: Server, load: Traffic, *, in_flight: int = IN_FLIGHT, connections_each: int = 1
    ) -> Load:
        """Keep so many requests in flight for a round."""
        return self.h2load.for_seconds(
            server.port,
            load.calls,
            self.scale.round_seconds,
            in_flight=in_flight,
            connections_each=connections_each,
        )

    def open_loop(self, server: Server, load: Traffic, per_second: float) -> Load:
        """Begin so many requests each second, for a round, and keep their latencies."""
        return self.h2load.for_seconds(
            server.port, load.calls, self.scale.round_seconds, per_second=per_second, timed=True
        )

    def alone(self, server: Server, call: Call) -> Load:
        """Make one call after the other for a round, and keep their latencies."""
        return self.h2load.for_seconds(server.port, [call], self.scale.round_seconds, in_flight=1, timed=True)

    def rounds(self) -> range:
        """Return what to count the rounds of a row by."""
        return range(self.scale.rounds)

    @cached_property
    def service(self) -> Server:
        """The service with one worker, warm."""
        server = self._stack.enter_context(servers.service(self.folder, "--database-url", self.database_url))
        self.warm(server)
        return server

    def warm(self, server: Server) -> None:
        """Have a service prepare its statements on every connection."""
        for load in (traffic.appends(server), traffic.windows(server)):
            self.closed_loop(server, load)

    @cached_property
    def long_session(self) -> str:
        """A session of many messages."""
        self._check_filling()
        (session_id,) = self.filled_sessions(1, self.scale.long_session)
        return session_id

    def filled_sessions(self, count: int, length: int) -> list[str]:
        """Make sessions of a length, in the database itself; return their ids."""
        made = [traffic.make_session(self.service, [traffic.MESSAGE_BYTES]) for _ in range(count)]
        for session_id in made:
            fill.lengthen(self.database_url, session_id, length)
        fill.tidy(self.database_url)
        return made

    def _check_filling(self) -> None:
        made = traffic.make_session(self.service, [traffic.MESSAGE_BYTES] * SHORT_SESSION)
        fill.check(self.database_url, made, *self.filled_sessions(1, SHORT_SESSION))

    @cached_property
    def user_of_many(self) -> str:
        """The user with many sessions."""
        user_id = "user-of-many"
        request = pb.CreateSessionRequest(
            session_id="one-of-many", session=session_pb2.Session(user_id=user_id)
        )
        self.service.ask(request)
        fill.multiply(self.database_url, "one-of-many", self.scale.many_sessions)
        fill.tidy(self.database_url)
        self._check_multiplying(user_id)
        return user_id

    def _check_multiplying(self, user_id: str) -> None:
        """Make sure that the service finds the last one by its id, and so by the key that it was given."""
        last = f"one-of-many-{self.scale.many_sessions - 1}"
        found = self.service.ask(pb.GetSessionRequest(session_id=last, user_id=user_id)).session
        if found.session_id != last:
            raise InvalidError("a filled session is not the one that the service finds")
