"""Listen on an address, with enough files for the connections there."""

from __future__ import annotations

import resource
import socket
from typing import TYPE_CHECKING, Final

from sessionhistory_server.limits import MAX_CONNECTIONS

if TYPE_CHECKING:
    from sessionhistory_server.config import Address

_WANTED_FILES: Final = 2 * MAX_CONNECTIONS
_OTHER_FILES: Final = 256
"""Files of a worker that are no connections, of peers or of the pool."""

_OPTIONS: Final = {"gRPC": "--listen", "metrics": "--metrics-listen"}


class ListenError(Exception):
    """An address cannot be bound. The message names it."""


def allow_open_files() -> None:
    """Let this process and those that it starts open enough files, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def accepted_connections(pool_size: int) -> int:
    """Return how many connections a worker may accept and still open all other files that it needs.

    Args:
        pool_size: The connections to the database.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft - _OTHER_FILES - pool_size, soft // 4))


def listen(what: str, address: Address) -> socket.socket:
    """Listen on one of the addresses of a host, as gRPC does. No other process can share the address.

    Raises:
        ListenError: the address is in use, or belongs to another machine.
    """
    try:
        return _listen(address)
    except OSError as error:
        raise ListenError(
            f"cannot serve {what} on {address}: {error.strerror}; {_OPTIONS[what]} sets another address"
        ) from error


def _listen(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(address.host.strip("[]"), address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(error.errno, f"the name does not resolve: {error.strerror}") from error
    errors: list[OSError] = []
    for family, *_, where in found:
        listener = socket.socket(family, socket.SOCK_STREAM)
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
