"""Each RPC of the contract is found in exactly one servicer."""

from __future__ import annotations

from typing import Any

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.model.caller import READ, WRITE
from sessionhistory_server.observability.counters import Metrics, numbers_per_worker
from sessionhistory_server.observability.shared_memory import SharedNumbers
from sessionhistory_server.rpc.accounting import Accounting
from sessionhistory_server.rpc.dispatch import HEALTH, SERVICE, DispatchError, methods_of, rpc
from sessionhistory_server.rpc.health import Health
from sessionhistory_server.rpc.server import METHODS
from sessionhistory_server.rpc.services.forks import ForksServicer
from sessionhistory_server.rpc.services.registry import servicers
from sessionhistory_server.rpc.services.tokens import TokensServicer
from sessionhistory_server.usecases.registry import UseCases

_NONE: Any = None


async def _do_nothing(*_: object) -> None:
    pass


async def _do_the_same(*_: object) -> None:
    pass


class _Second:
    GetSession = GetMessage = rpc(READ)(_do_nothing)

    UndeleteSession = _do_the_same
    """It has the name of an RPC, and is none."""


def _accounting() -> Accounting:
    return Accounting(Metrics(METHODS, SharedNumbers(1, numbers_per_worker(METHODS)), 0, dict), 1)


def _servicers() -> list[object]:
    return servicers(UseCases(*[_NONE] * len(UseCases._fields)), _NONE, _accounting(), _NONE)


def test_the_servicers_have_the_contract() -> None:
    """Every RPC is found, and only those of the contract."""
    methods = methods_of(SERVICE, [*_servicers(), Health()], _accounting())
    assert list(methods) == [method.name for method in SERVICE.methods]
    assert methods["GetHistory"].path == "/sessionhistory.v1.SessionHistoryService/GetHistory"
    assert methods["GetHistory"].request_type is pb.GetHistoryRequest


def test_missing_rpcs_are_named_at_the_start() -> None:
    """All of them in one error, in the order of the contract."""
    servicers = [each for each in _servicers() if not isinstance(each, (ForksServicer, TokensServicer))]
    with pytest.raises(DispatchError) as error:
        methods_of(SERVICE, servicers, _accounting())
    names = [method.name for method in SERVICE.methods]
    missing = sorted(["ForkSession", "ResetSession", "RecountTokens"], key=names.index)
    assert str(error.value) == (
        f"no servicer has these RPCs of sessionhistory.v1.SessionHistoryService: {', '.join(missing)}"
    )


def test_doubled_rpcs_are_named_at_the_start() -> None:
    """All of them in one error, with their servicers."""
    with pytest.raises(DispatchError) as error:
        methods_of(SERVICE, [*_servicers(), _Second()], _accounting())
    assert str(error.value) == (
        "two servicers have the same RPC of sessionhistory.v1.SessionHistoryService:"
        " GetSession (SessionsServicer, _Second), GetMessage (MessagesServicer, _Second)"
    )


def test_only_reading_methods_need_no_scope_to_write() -> None:
    """A method that changes something needs the scope to write."""
    methods = methods_of(SERVICE, _servicers(), _accounting())
    scopes = {name: method.terms.scope for name, method in methods.items()}
    reading = {"GetSession", "ListSessions", "GetActiveSession", "GetMessage", "GetHistory", "ListMessages"}
    expected = {name: READ if name in reading else WRITE for name in scopes}
    assert scopes == expected | {"CallStream": None}
    assert {method.terms.scope for method in methods_of(HEALTH, [Health()], _accounting()).values()} == {None}


def test_every_request_that_can_name_a_user_is_asked_for_it() -> None:
    """The caller's user is taken from the request, or from the header of a stream."""
    for name, method in methods_of(SERVICE, _servicers(), _accounting()).items():
        request: Any = method.request_type()
        if name == "AppendMessageStream":
            request.header.user_id = "u"
        elif name != "CallStream":
            request.user_id = "u"
        assert method.user_of(request) == ("" if name == "CallStream" else "u"), name
