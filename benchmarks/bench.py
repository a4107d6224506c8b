"""The run that all rows share: its scale, a database with the service's schema, the service, and the load."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Final

from benchmarks.database import fill
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.load import traffic
from benchmarks.load.grpc_load import GrpcLoad
from benchmarks.load.h2load import IN_FLIGHT, H2load
from benchmarks.servers import launch
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from benchmarks.load.h2load import Load
    from benchmarks.load.traffic import Traffic
    from benchmarks.scale import Scale
    from benchmarks.servers.calls import Call
    from benchmarks.servers.launch import Server

SHORT_SESSION: Final = 100


class Bench:
    """A run. Rows share the servers and the sessions that it creates, and the end of the block removes them.

    Args:
        scale: The sizes of the run.
        folder: A folder for logs and other temporary files.
        database_url: A database with the service's schema. The run fills it.
        on_progress: Called with the finished share of the current row.
        citus_url: An empty database of a Citus coordinator. The run fills it, too.
    """

    def __init__(
        self,
        scale: Scale,
        folder: Path,
        database_url: str,
        on_progress: Callable[[float], object] = lambda _: None,
        citus_url: str | None = None,
    ) -> None:
        self.scale = scale
        self.folder = folder
        self.database_url = database_url
        self.on_progress = on_progress
        self._citus_url = citus_url
        self.h2load = H2load(folder)
        self.grpc_load = GrpcLoad(folder)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def closed_loop(self, server: Server, load: Traffic, *, in_flight: int = IN_FLIGHT) -> Load:
        """Keep ``in_flight`` requests in flight for a round."""
        return self.h2load.for_seconds(server.port, load.calls, self.scale.round_seconds, in_flight=in_flight)

    def alone(self, server: Server, call: Call) -> Load:
        """Make one call after the other for a round, and keep their latencies."""
        return self.h2load.for_seconds(server.port, [call], self.scale.round_seconds, in_flight=1, timed=True)

    def rounds(self) -> range:
        """Return the numbers of the rounds of a row."""
        return range(self.scale.rounds)

    @cached_property
    def service(self) -> Server:
        """The service with one worker, warmed up."""
        server = self._stack.enter_context(launch.service(self.folder, "--database-url", self.database_url))
        self.warm(server)
        return server

    @cached_property
    def production(self) -> Server:
        """The same with credentials and limits."""
        server = self._stack.enter_context(launch.production(self.folder, self.database_url))
        self.warm(server)
        return server

    @cached_property
    def on_citus(self) -> Bench:
        """A run of the same scale on the given Citus, with the same build of the service.

        Raises:
            SkippedError: no Citus was given.
        """
        if not self._citus_url:
            raise SkippedError("no Citus is given: --citus-url")
        folder = self.folder / "citus"
        folder.mkdir()
        launch.distribute(folder, self._citus_url)
        return self._stack.enter_context(Bench(self.scale, folder, self._citus_url))

    def warm(self, server: Server) -> None:
        """Call the service until it has prepared its statements on every connection."""
        for load in (traffic.appends(server), traffic.windows(server)):
            self.closed_loop(server, load)

    @cached_property
    def long_session(self) -> str:
        """The id of a session of ``scale.long_session`` messages."""
        self._check_filling()
        (session_id,) = self.filled_sessions(1, self.scale.long_session)
        return session_id

    def filled_sessions(self, count: int, length: int) -> list[str]:
        """Create ``count`` sessions of ``length`` messages in the database itself; return their ids."""
        made = [traffic.make_session(self.service, [traffic.MESSAGE_BYTES]) for _ in range(count)]
        for session_id in made:
            fill.lengthen(self.database_url, session_id, length)
        fill.vacuum(self.database_url)
        return made

    def _check_filling(self) -> None:
        made = traffic.make_session(self.service, [traffic.MESSAGE_BYTES] * SHORT_SESSION)
        fill.check(self.database_url, made, *self.filled_sessions(1, SHORT_SESSION))

    @cached_property
    def user_of_many(self) -> str:
        """The id of the user that owns ``scale.many_sessions`` sessions."""
        session_id = traffic.new_id()
        user_id = f"user-of-{session_id}"
        self.service.ask(pb.CreateSessionRequest(session_id=session_id, user_id=user_id))
        fill.multiply(self.database_url, session_id, self.scale.many_sessions)
        fill.vacuum(self.database_url)
        self._check_multiplying(session_id, user_id)
        return user_id

    def _check_multiplying(self, session_id: str, user_id: str) -> None:
        """Check that the service finds the last filled session by its id, so the filled keys are right."""
        last = f"{session_id}-{self.scale.many_sessions - 1}"
        found = self.service.ask(pb.GetSessionRequest(session_id=last, user_id=user_id)).session
        if found.session_id != last:
            raise InvalidError("the service does not find a filled session by its id")
