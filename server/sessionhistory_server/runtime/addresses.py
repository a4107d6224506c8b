"""Check and reserve the addresses to serve on, before anything else is started."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.listening import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.config import Settings


class ReservedAddresses(NamedTuple):
    """The addresses that this process reserves for its workers."""

    grpc_port: int
    """The address of gRPC, which each worker binds with SO_REUSEPORT."""

    metrics_listener: socket.socket | None
    """The socket of the metrics, which all workers share. The worker that accepts a connection answers it."""


def check_addresses(settings: Settings) -> None:
    """Check the addresses of the settings: bind them, and release them again.

    Raises:
        ListenError: an address is in use, or belongs to another machine.
    """
    with ExitStack() as stack:  # both are bound at the same time, because they might be equal
        stack.enter_context(listen("gRPC", settings.listen))
        if settings.metrics_listen is not None:
            stack.enter_context(listen("metrics", settings.metrics_listen))


@contextmanager
def reserve_addresses(settings: Settings) -> Iterator[ReservedAddresses]:
    """Reserve the addresses of the settings for the workers during the block, against other servers.

    Raises:
        ListenError: an address is in use, or belongs to another machine.
    """
    with ExitStack() as stack:
        metrics = None
        with listen("gRPC", settings.listen) as listener:
            if settings.metrics_listen is not None:
                metrics = stack.enter_context(listen("metrics", settings.metrics_listen))
                # Not blocking: a connection wakes all workers, and only one of them gets it.
                metrics.settimeout(0)
            placeholder = stack.enter_context(socket.socket(listener.family, socket.SOCK_STREAM))
            _bind_beside(placeholder, listener)
        yield ReservedAddresses(placeholder.getsockname()[1], metrics)


def _bind_beside(placeholder: socket.socket, listener: socket.socket) -> None:
    """Bind the address of a listener, too, without listening, so that the address is never free."""
    for one in (listener, placeholder):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        # Without SO_REUSEADDR: with it, Linux would let other processes bind as long as no process listens.
        placeholder.bind(listener.getsockname())
    except OSError:
        # The address is in use by closing connections of an earlier server that did not share the port.
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        placeholder.bind(listener.getsockname())
