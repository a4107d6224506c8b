"""The streams of a client: when it opens one, and which one takes a call. This is for asyncio only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import grpc

from sessionhistory._async.call_stream import CallStream

if TYPE_CHECKING:
    from sessionhistory._async.connections import AsyncConnections
    from sessionhistory._transport.options import Metadata

_MOST_STREAMS: Final = 8
# A call costs less if it shares messages with others, so one stream takes them all up to this number. More
# calls in progress mean that its worker is busy, as errors do; another connection may lead to another worker.
_SHARED_CALLS: Final = 32
# The service works on 256 calls of a stream at a time.
_MOST_CALLS: Final = 128

# A stream costs as much as a few calls. It pays if calls come more often than this.
_OFTEN_SECONDS: Final = 1.0
_REMEMBERED: Final = 64

_PAUSE_SECONDS: Final = 1.0
_LONG_PAUSE_SECONDS: Final = 60.0
# Other codes mean that the service does not know streams, or that a proxy does not let them through.
_PASSING: Final = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE,
}


class CallStreams:
    """The streams of a client, which share its connections with calls that are made alone."""

    def __init__(self, connections: AsyncConnections) -> None:
        self._connections = connections
        self._streams: dict[Metadata, list[CallStream]] = {}
        self._called_at: dict[Metadata, float] = {}
        self._paused_until = 0.0

    def choose(self, metadata: Metadata) -> CallStream | None:
        """Return the stream for a call with this metadata; ``None``: make the call alone.

        It opens a stream in the background if calls with this metadata are frequent.
        """
        open_streams = [stream for stream in self._streams.get(metadata, ()) if self._takes_calls(stream)]
        for stream in open_streams:
            if stream.rank() < (False, _SHARED_CALLS):
                return stream
        self._open_if_useful(metadata)
        best = min(open_streams, key=CallStream.rank, default=None)
        return best if best and best.calls < _MOST_CALLS else None

    def close(self) -> None:
        """End all streams; their calls fail."""
        for streams in self._streams.values():
            for stream in streams:
                stream.close()

    def _takes_calls(self, stream: CallStream) -> bool:
        if stream.connection.is_given_up:
            stream.retire()
        return stream.is_open

    def _open_if_useful(self, metadata: Metadata) -> None:
        now = time.monotonic()
        streams = self._streams.get(metadata)
        if streams is None and not self._is_frequent(metadata, now):
            return
        if now < self._paused_until or sum(map(len, self._streams.values())) >= _MOST_STREAMS:
            return
        if streams is None:
            streams = self._streams[metadata] = []
        if not any(not stream.was_open for stream in streams):
            streams.append(CallStream(self._connections, metadata, self._forget))

    def _is_frequent(self, metadata: Metadata, now: float) -> bool:
        """Note a call, and return whether another one with this metadata has just been made."""
        before = self._called_at.pop(metadata, -_OFTEN_SECONDS)
        self._called_at[metadata] = now
        if len(self._called_at) > _REMEMBERED:
            del self._called_at[next(iter(self._called_at))]
        return now - before < _OFTEN_SECONDS

    def _forget(self, stream: CallStream) -> None:
        streams = self._streams[stream.metadata]
        streams.remove(stream)
        if not streams:
            del self._streams[stream.metadata]
        if stream.error:
            self._paused_until = time.monotonic() + _pause_seconds(stream, stream.error)


def _pause_seconds(stream: CallStream, error: grpc.RpcError) -> float:
    """Return how long to make calls alone after a stream has failed."""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return _PAUSE_SECONDS  # the next key may be valid
    # A proxy that limits the time of requests cuts all streams soon.
    is_cut = stream.was_open and stream.age_seconds < _LONG_PAUSE_SECONDS
    return _PAUSE_SECONDS if error.code() in _PASSING and not is_cut else _LONG_PAUSE_SECONDS
