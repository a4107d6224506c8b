"""Shut down connections of this process's gRPC server by their peers: gRPC cannot end a connection."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    Address = tuple[object, int]

_DESCRIPTORS: Final = Path("/dev/fd")

_IP: Final = (socket.AF_INET, socket.AF_INET6)


def shut_down(peers: Iterable[str]) -> set[str]:
    """Shut down the connections to peers, in gRPC's notation; return the peers that had a connection.

    Each descriptor is copied before it is examined, so that its number cannot be reused meanwhile. It is
    examined once for all peers, because there may be thousands of both, and calls wait meanwhile.
    """
    wanted = {address: peer for peer in peers if (address := _address_of(peer))}
    if not wanted:
        return set()
    found = [_shut_down(int(file.name), wanted) for file in _DESCRIPTORS.iterdir()]
    return {wanted[address] for address in found if address}


def _address_of(peer: str) -> Address | None:
    scheme, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return (_ip(host.strip("[]")), int(port)) if scheme in {"ipv4", "ipv6"} else None


def _shut_down(number: int, addresses: Container[Address]) -> Address | None:
    with suppress(OSError):
        copy = os.dup(number)
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            return None
        with socket.socket(fileno=copy) as connection:
            if connection.family in _IP and (address := _address(connection.getpeername())) in addresses:
                connection.shutdown(socket.SHUT_RDWR)
                return address
    return None


def _address(name: tuple[Any, ...]) -> Address:
    return _ip(name[0]), name[1]


def _ip(host: str) -> object:
    ip = ip_address(host)
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
