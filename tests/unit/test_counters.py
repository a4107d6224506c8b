"""The metrics know every status code of gRPC, though they do not import gRPC."""

from __future__ import annotations

import grpc

from sessionhistory_server.observability.counters import CODES


def test_each_status_code_has_a_counter() -> None:
    """A call that ends with any code of gRPC can be counted."""
    assert set(CODES) == {code.name for code in grpc.StatusCode}
