"""The addresses to listen on."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.config import Address, Settings

_STREAM: Final = socket.SOCK_STREAM
_OPTIONS: Final = {"gRPC": "--listen", "metrics": "--metrics-listen"}


class ListenError(Exception):
    """An address cannot be bound; the message says which."""


class Reserved(NamedTuple):
    """Addresses that are kept for the workers of this process."""

    port: int
    """Of gRPC: each worker binds it with SO_REUSEPORT."""

    metrics: socket.socket | None
    """Listens for all workers; whichever accepts a connection answers it."""


def check(settings: Settings) -> None:
    """Try the addresses of the settings, and let them go again.

    Raises:
        ListenError: one is in use or not ours.
    """
    with ExitStack() as stack:  # both at once: they might be the same
        stack.enter_context(listen("gRPC", settings.listen))
        if settings.metrics_listen is not None:
            stack.enter_context(listen("metrics", settings.metrics_listen))


@contextmanager
def reserved(settings: Settings) -> Iterator[Reserved]:
    """Keep the addresses of the settings for our workers, and from all others, for the length of the block.

    Raises:
        ListenError: one is in use or not ours.
    """
    with ExitStack() as stack:
        metrics = None
        with listen("gRPC", settings.listen) as alone:
            if settings.metrics_listen is not None:
                metrics = stack.enter_context(listen("metrics", settings.metrics_listen))
                # All workers are woken by a connection, and only one gets it.
                metrics.settimeout(0)
            beside = stack.enter_context(socket.socket(alone.family, _STREAM))
            _bind_beside(beside, alone)
        yield Reserved(beside.getsockname()[1], metrics)


def listen(what: str, address: Address) -> socket.socket:
    """Listen on one of the addresses that a host stands for, as gRPC does, and share it with nobody.

    Raises:
        ListenError: it is in use or not ours.
    """
    try:
        return _listening(address)
    except OSError as error:
        raise ListenError(
            f"cannot serve {what} on {address}: {error.strerror}; {_OPTIONS[what]} sets another address"
        ) from error


def _listening(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(address.host.strip("[]"), address.port, type=_STREAM)
    except socket.gaierror as error:
        raise OSError(error.errno, f"the name does not resolve: {error.strerror}") from error
    errors: list[OSError] = []
    for family, *_, where in found:
        listener = socket.socket(family, _STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen()
        except OSError as error:
            listener.close()
            errors.append(error)
        else:
            return listener
    raise errors[0]


def _bind_beside(beside: socket.socket, other: socket.socket) -> None:
    """Bind the address of another socket, without listening: then there is no moment when it is free."""
    for one in (other, beside):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        # Without SO_REUSEADDR: with it, Linux would let others bind as long as nobody listens.
        beside.bind(other.getsockname())
    except OSError:
        # Connections of a former server, which shared with nobody, are not quite closed.
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        beside.bind(other.getsockname())
