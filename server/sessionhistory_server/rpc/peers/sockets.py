"""Shut down connections of this process's gRPC server by their peers: gRPC cannot end a connection."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    Address = tuple[object, int]

_DESCRIPTORS: Final = Path("/dev/fd")

_RECEIVED_OFFSET: Final = 128
"""Of ``tcpi_bytes_received`` in Linux's ``struct tcp_info``."""
_INFORMATION_BYTES: Final = _RECEIVED_OFFSET + 8

_IP: Final = (socket.AF_INET, socket.AF_INET6)


def shut_down(peers: Iterable[str]) -> set[str]:
    """Shut down the connections to peers, in gRPC's notation; return the peers that had a connection.

    Each descriptor is examined once for all peers, because there may be thousands of both, and calls wait
    meanwhile.
    """
    wanted = {address: peer for peer in peers if (address := address_of(peer))}
    return {wanted[address] for address in shut_down_addresses(wanted)}


def shut_down_addresses(addresses: Collection[Address]) -> list[Address]:
    """Shut down the connections to addresses; return the addresses that had one."""

    def end(connection: socket.socket) -> Address | None:
        if (address := _address(connection.getpeername())) in addresses:
            connection.shutdown(socket.SHUT_RDWR)
            return address
        return None

    return list(_seen(end)) if addresses else []


def received_bytes(port: int) -> dict[Address, int]:
    """Return the bytes that each connection to a port of this process has received, on Linux; else 0."""
    found: dict[Address, int] = {}

    def look(connection: socket.socket) -> None:
        if _address(connection.getsockname())[1] == port:
            found[_address(connection.getpeername())] = _received(connection)

    for _ in _seen(look):
        pass
    return found


def _received(connection: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFORMATION_BYTES)
    (received,) = struct.unpack_from("=Q", information.ljust(_INFORMATION_BYTES, b"\0"), _RECEIVED_OFFSET)
    return int(received)


def address_of(peer: str) -> Address | None:
    """Return the address of a peer in gRPC's notation; ``None``: it is none of IP."""
    scheme, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return (_ip(host.strip("[]")), int(port)) if scheme in {"ipv4", "ipv6"} else None


def _seen(look: Callable[[socket.socket], Address | None]) -> Iterator[Address]:
    """Yield the addresses that a look at each connection of IP finds.

    Each descriptor is copied before, so that its number cannot be reused meanwhile.
    """
    for file in _DESCRIPTORS.iterdir():
        with suppress(OSError):
            copy = os.dup(int(file.name))
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)
                continue
            with socket.socket(fileno=copy) as connection:
                if connection.family in _IP and (address := look(connection)):
                    yield address


def _address(name: tuple[Any, ...]) -> Address:
    return _ip(name[0]), name[1]


def _ip(host: str) -> object:
    ip = ip_address(host)
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
