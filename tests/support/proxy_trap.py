"""An HTTP proxy to which no process may connect."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

PROXY_VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PATIENCE_SECONDS = 30


class ProxyTrap:
    """A socket that listens on a free port, records requests, and answers none."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that name it as the proxy for every scheme."""
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return {"no_proxy": "", "no_grpc_proxy": ""} | dict.fromkeys(PROXY_VARIABLES, url)

    @property
    def was_asked(self) -> bool:
        """Return whether a client has connected whose request was not read yet."""
        self._socket.settimeout(0)
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def first_line(self) -> str:
        """Wait for a request; return its first line."""
        self._socket.settimeout(_PATIENCE_SECONDS)
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as requests:
            connection.settimeout(_PATIENCE_SECONDS)
            return requests.readline().decode().rstrip()
