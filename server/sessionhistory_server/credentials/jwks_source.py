"""Read the keys of an issuer of tokens, from a file or from a URL. Both block: call them in a thread."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from sessionhistory_server.credentials.jwks import JwksError
from sessionhistory_server.limits import MAX_JWKS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FETCH_SECONDS: Final = 5.0
"""The maximum time for reading the keys, from the name of the host to the last byte."""

_HEADERS: Final = {"accept": "application/json", "user-agent": "session-history"}

_TOO_LARGE: Final = f"has more than {MAX_JWKS_BYTES // 1024} KiB"


class JwksSource(Protocol):
    """A source of keys."""

    refresh_seconds: float
    """How often to read the keys."""
    unknown_seconds: float
    """The minimum time between reads for tokens that name an unknown key."""

    def read(self) -> bytes:
        """Return the present contents.

        Raises:
            JwksError: they cannot be read.
        """


class JwksFile:
    """A file, which may be replaced while the server runs."""

    refresh_seconds = 2.0
    unknown_seconds = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes:
        """Return the contents of the file.

        Raises:
            JwksError: the file cannot be read, or is too large.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_JWKS_BYTES + 1)
        except OSError as error:
            raise JwksError(f"cannot be read ({error.strerror})") from error
        return _checked(data)


class _Address(NamedTuple):
    scheme: str
    host: str
    port: int | None
    path: str


class JwksUrl:
    """An https URL, or an http one of this machine. The server follows no redirect, and uses no proxy.

    Raises:
        JwksError: the URL is another one.
    """

    refresh_seconds = 300.0
    unknown_seconds = 10.0

    def __init__(self, url: str) -> None:
        self._address = _parsed(url)

    def read(self) -> bytes:
        """Fetch the URL.

        Raises:
            JwksError: there is no complete answer within the time, or not one with keys.
        """
        deadline = time.monotonic() + FETCH_SECONDS
        connection = self._connection()
        try:
            connection.connect()
            with _cut_at(deadline, connection.sock):
                data = self._fetch(connection)
        except (OSError, http.client.HTTPException, ValueError) as error:
            _require_in_time(deadline)
            raise JwksError(f"cannot be fetched ({_fact(error)})") from error
        finally:
            connection.close()
        _require_in_time(deadline)  # a connection that was cut looks like a complete answer
        return data

    def _connection(self) -> http.client.HTTPConnection:
        _, host, port, _ = self._address
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=FETCH_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=FETCH_SECONDS, context=context)

    def _fetch(self, connection: http.client.HTTPConnection) -> bytes:
        connection.request("GET", self._address.path, headers=_HEADERS)
        with connection.getresponse() as response:
            if response.status != http.client.OK:
                raise JwksError(f"answers with the status {response.status}: name the URL of the keys itself")
            data = _checked(response.read(MAX_JWKS_BYTES + 1))
            if response.length:
                raise http.client.IncompleteRead(data)
            return data


def _parsed(url: str) -> _Address:
    """Return the parts of a URL.

    Raises:
        JwksError: it is neither https nor http of this machine, or has parts that a URL of keys has not.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise JwksError("must be a valid URL") from None
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise JwksError("must be a valid URL")
    if parts.username is not None or parts.password is not None:
        raise JwksError("must have no user and no password: keys are public")
    if parts.scheme not in ("http", "https"):
        raise JwksError("must be a file, or an https:// URL")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise JwksError(
            "must be an https:// URL, because keys from another machine could be replaced on the way"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Address(parts.scheme, parts.hostname, port, path)


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextmanager
def _cut_at(deadline: float, connected: socket.socket) -> Iterator[None]:
    """End a connection at a time, so that a read returns.

    A limit for each read would not end an answer that arrives byte by byte.
    """

    def cut() -> None:
        with suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # below TLS, which would wait for the peer

    timer = threading.Timer(deadline - time.monotonic(), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _require_in_time(deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise JwksError(f"did not answer completely within {FETCH_SECONDS:g} seconds")


def _fact(error: Exception) -> str:
    """Return the kind of an error. Its text may quote the answer."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__


def _checked(data: bytes) -> bytes:
    if len(data) > MAX_JWKS_BYTES:
        raise JwksError(_TOO_LARGE)
    return data
