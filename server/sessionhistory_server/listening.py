"""Listen on an address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.config import Address

_OPTIONS: Final = {"gRPC": "--listen", "metrics": "--metrics-listen"}


class ListenError(Exception):
    """An address cannot be bound. The message names it."""


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
