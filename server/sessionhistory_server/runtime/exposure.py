"""Decide whether a server may listen on its address, which depends on the callers that can reach it."""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionhistory_server.config import Address, Settings

_log = logging.getLogger(__name__)


class ExposureError(Exception):
    """The settings do not protect the address to listen on. The message has the remedy."""


def check_exposure(settings: Settings) -> None:
    """Refuse an address that other machines can reach if its calls are not protected; log each weakness.

    On loopback all is allowed. Elsewhere, callers must have credentials, and calls must be encrypted, or the
    settings say that they are on the way to this server. With ``insecure`` a server starts nonetheless.

    Raises:
        ExposureError: a protection is missing.
    """
    address = settings.listen
    if is_loopback(address):
        return
    if settings.tls_cert is None and not settings.plaintext:
        if not settings.insecure:
            raise ExposureError(
                f"other machines can reach {address}, and calls to it are not encrypted: set --tls-cert and"
                " --tls-key, or --plaintext if TLS ends before this server; --insecure serves nonetheless"
            )
        _log.warning("calls are not encrypted: other machines may read those to %s on their way", address)
    if not settings.auth and settings.tls_client_ca is None:
        if not settings.insecure:
            raise ExposureError(
                f"other machines can reach {address}, and callers are not authenticated: set --auth or"
                " --tls-client-ca; --insecure serves nonetheless"
            )
        _log.warning(
            "callers are not authenticated: anyone who reaches %s may read and change every session", address
        )


def is_loopback(address: Address) -> bool:
    """Return whether only this machine can reach an address. Its host must resolve."""
    found = socket.getaddrinfo(address.host.strip("[]"), address.port, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(where[0]).is_loopback for *_, where in found)
