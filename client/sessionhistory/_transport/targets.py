"""Find whether a target of gRPC leads to this machine, which a proxy cannot reach."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote, urlsplit

NO_PROXY: Final = ("grpc.enable_http_proxy", 0)
"""The channel argument with which gRPC uses no proxy, even if the environment names one."""

_SOCKET_SCHEMES: Final = {"unix", "unix-abstract"}
_ADDRESS_SCHEMES: Final = {"dns", "ipv4", "ipv6"}
# The names that Debian gives to ::1, and those that RFC 6761 reserves.
_LOOPBACK_NAMES: Final = {"localhost", "ip6-localhost", "ip6-loopback"}
_LOOPBACK_DOMAIN: Final = ".localhost"


def default_options(target: str) -> tuple[tuple[str, int], ...]:
    """Return the channel arguments that a target needs. A proxy cannot reach the loopback of this machine."""
    return (NO_PROXY,) if is_loopback(target) else ()


def is_loopback(target: str) -> bool:
    """Return whether a target leads to this machine: a Unix socket, 127.0.0.1, ::1, localhost, 0.0.0.0."""
    scheme, _, rest = target.partition(":")
    if scheme in _SOCKET_SCHEMES:
        return True
    # As in dns://AUTHORITY/HOST:PORT, and ipv4:ADDRESS:PORT,ADDRESS:PORT.
    addresses = unquote(rest).rpartition("/")[2] if scheme in _ADDRESS_SCHEMES else target
    return all(_is_loopback(_host(address)) for address in addresses.split(","))


def _host(address: str) -> str:
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:  # a bracket is missing
        return ""


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.removesuffix(".")
        return name in _LOOPBACK_NAMES or name.endswith(_LOOPBACK_DOMAIN)
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
