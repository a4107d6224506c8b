"""A process that cannot serve tells why: a worker tells its supervisor, a single process its user."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import click
import pytest

from sessionhistory_cli.server import service
from sessionhistory_server.listening import ListenError
from sessionhistory_server.rpc.dispatch import DispatchError
from sessionhistory_server.runtime import serving, single_process
from sessionhistory_server.runtime.workers import worker
from support.service import default_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine


@pytest.mark.parametrize("error", [ListenError("the port is in use"), DispatchError("no servicer has RPC X")])
def test_the_reason_is_sent(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The reason is the error's text, which an operator reads."""

    async def serve(*_: object) -> None:
        raise error

    def run(work: Coroutine[Any, Any, int]) -> int:
        with pytest.raises(StopIteration) as ended:
            work.send(None)
        return int(ended.value.value)

    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr(serving, "run", run)
    monkeypatch.setattr(worker.logs, "bind", lambda **_: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        resources: Any = type("Resources", (), {"worker": 0})()
        assert worker.run(default_settings(), "", resources, theirs) == 1
        assert ours.recv(100).decode() == f"failed {error}"


def test_a_single_process_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command fails with the error's text in one line, not with a traceback."""

    def run(*_: object, **__: object) -> None:
        raise DispatchError("no servicer has RPC X")

    monkeypatch.setattr(single_process, "run", run)
    settings = default_settings(database_url="postgresql://127.0.0.1:1/none", pooler="transaction")
    with pytest.raises(click.ClickException, match="no servicer has RPC X"):
        service.run(settings, str(settings.database_url), None, None, workers=1, tend=lambda: None)
