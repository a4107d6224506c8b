"""The ceiling: a `grpc.aio` server on uvloop, in one process, which only answers.

This is a program. Its arguments are a port and a JSON file of recorded calls, a list of method, request and
answer, with bytes in hexadecimal. The server looks up each request and returns the recorded answer. It
parses, checks and logs nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import uvloop

from sessionhistory_server.rpc.server import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Answers(grpc.GenericRpcHandler):
    """A handler that answers the requests of each method from a table."""

    def __init__(self, answers: Mapping[str, Mapping[bytes, bytes]]) -> None:
        self._handlers = {method: _handler(table) for method, table in answers.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - untyped in grpc
        """Return the handler of a method."""
        return self._handlers.get(handler_call_details.method)


def _handler(table: Mapping[bytes, bytes]) -> Any:  # noqa: ANN401 - untyped in grpc
    async def answer(request: bytes, _context: Any) -> bytes:  # noqa: ANN401
        return table[request]

    return grpc.unary_unary_rpc_method_handler(answer)


async def _serve(port: str, calls: list[tuple[str, str, str]]) -> None:
    answers: dict[str, dict[bytes, bytes]] = {}
    for method, request, answer in calls:
        answers.setdefault(method, {})[bytes.fromhex(request)] = bytes.fromhex(answer)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((_Answers(answers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
