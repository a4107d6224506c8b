"""The addresses to listen on."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.config import Address, Settings

_STREAM: Final = socket.SOCK_STREAM


class ListenError(Exception):
    """An address cannot be bound; the message says which."""


def check(settings: Settings) -> None:
    """Try the addresses of the settings, and let them go again.

    Raises:
        ListenError: one is in use or not ours.
    """
    addresses = {"gRPC": settings.listen, "metrics": settings.metrics_listen}
    with ExitStack() as stack:  # both at once: they might be the same
        for what, address in addresses.items():
            if address is not None:
                try:
                    stack.enter_context(_listening(address))
                except OSError as error:
                    raise ListenError(f"cannot serve {what} on {address}: {error.strerror}") from error


def _listening(address: Address) -> socket.socket:
    """Listen on one of the addresses that a host stands for, as gRPC does."""
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
