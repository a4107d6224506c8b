"""A server of one worker under attack, with the memory that it takes and a good caller."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import leaks

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.hostile import Peer
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from support.processes import Server

MIB = 1024 * 1024
MAX_MEMORY_MIB = 256
# The server looks once a second, and a fast machine sends 300 MiB in that time. Growth between two
# measurements is not seen. Without any bound, each of the attacks takes a gigabyte.
BOUND_MIB = 704
SETTINGS = ("--workers", "1", "--default-deadline-seconds", "2", "--max-memory-mib", str(MAX_MEMORY_MIB))
"""The flags of a server that gives its peers two seconds."""
SERVICE = "/sessionhistory.v1.SessionHistoryService/"

LARGE = pb.GetHistoryRequest(session_id="large")
_SMALL = pb.GetHistoryRequest(session_id="small")
_PATIENCE_SECONDS = 30


class Attacked:
    """A server, a good caller, and the peak of the server's memory."""

    def __init__(self, server: Server, credentials: grpc.ChannelCredentials | None = None) -> None:
        self.server = server
        self.address = server.address()
        self.stub = server.stub(credentials)
        self.peak_mib = 0.0
        self._fill()

    @property
    def memory_mib(self) -> float:
        """The resident memory of the worker; the process that was started is only its supervisor."""
        (worker,) = leaks.workers(self.server)
        return leaks.resident_bytes(worker) / MIB

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure the memory's peak, while a good caller gets every answer."""
        stop = threading.Event()

        def measure() -> None:
            while not stop.wait(0.02):
                self.peak_mib = max(self.peak_mib, self.memory_mib)

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def attack_with(self, send: Callable[[Peer], None]) -> None:
        """Let three peers send concurrently until each is done, while a good caller gets every answer."""
        with ExitStack() as stack, self.watched():
            hostile = [stack.enter_context(Peer(self.address)) for _ in range(3)]
            senders = [threading.Thread(target=send, args=(peer,)) for peer in hostile]
            for sender in senders:
                sender.start()
            eventually(lambda: self.serves() and not any(sender.is_alive() for sender in senders))
            eventually(lambda: self.memory_mib < MAX_MEMORY_MIB)

    def serves(self) -> bool:
        """Return whether a good caller gets its answer."""
        return len(self.stub.GetHistory(_SMALL, timeout=_PATIENCE_SECONDS).history.messages) == 1

    def _fill(self) -> None:
        said = mpb.Message(role=mpb.ROLE_USER, content="x" * (MIB - 1_000))
        self.stub.AppendMessages(
            pb.AppendMessagesRequest(session_id="large", messages=[said] * 2, new_session={})
        )
        self.stub.AppendMessage(pb.AppendMessageRequest(session_id="large", message=said))
        said.content = "hello"
        self.stub.AppendMessage(pb.AppendMessageRequest(session_id="small", message=said, new_session={}))
