"""The trail: each administrative act, and each refusal for lack of rights, is one log event."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import credentials_service_pb2 as keys_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.observability import logs
from sessionhistory_server.observability.counters import Metrics, numbers_per_worker
from sessionhistory_server.observability.shared_memory import SharedNumbers
from sessionhistory_server.rpc.accounting import Accounting
from sessionhistory_server.rpc.dispatch import CREDENTIALS, SERVICE, methods_of
from sessionhistory_server.rpc.server import METHODS
from sessionhistory_server.rpc.services.registry import servicers
from support.call_streams import made
from support.errors import fails
from support.keys import credentials, holding, make_key, refused
from support.waiting import until

if TYPE_CHECKING:
    import io
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

# For each audited RPC: the requests that are acts, and the names of the acts.
_ACTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "DeleteSession": [("deletion", {}), ("purge", {"purge": True})],
    "UndeleteSession": [("restoration", {})],
    "RecountTokens": [("recount", {})],
    "AppendMessages": [("truncation", {"keep_through_sequence": 0, "messages": [{"role": 1}]})],
    "TruncateMessages": [("truncation", {"keep_through_sequence": 0})],
}

# Those on credentials. `test_a_change_of_a_key_is_an_act` and the test after it call them.
_ACTS_ON_CREDENTIALS = {"CreateApiKey", "RotateApiKey", "RevokeApiKey", "RefuseToken"}

# Each RPC that is no act, and the reason.
_NO_ACTS = {
    "CreateSession": "it adds",
    "GetSession": "it reads",
    "UpdateSession": "it changes fields, and no message",
    "UpdateState": "it changes the state, and no message",
    "ListSessions": "it reads",
    "GetActiveSession": "it reads",
    "EnsureActiveSession": "it adds",
    "AppendMessage": "it adds",
    "AppendMessageStream": "it adds",
    "GetMessage": "it reads",
    "GetHistory": "it reads",
    "ListMessages": "it reads",
    "CompactHistory": "it adds a summary; the messages stay",
    "ForkSession": "it adds",
    "ResetSession": "it adds a session; the old one keeps its messages",
    "CallStream": "its calls are calls of their own",
    "ListApiKeys": "it reads",
    "ListRefusedTokens": "it reads",
}

_CASES = [(method, act, fields) for method, acts in _ACTS.items() for act, fields in acts]

_FIELDS = ["timestamp", "level", "event", "request_id", "method"]
_OWN_FIELDS = ["act", "code", "tenant", "credential", "session_id"]

_CONTRACTS = (SERVICE, CREDENTIALS)
_NAMED = [method for contract in _CONTRACTS for method in contract.methods if method.name != "CallStream"]


def _events(log: io.StringIO) -> list[dict[str, Any]]:
    lines = map(json.loads, log.getvalue().splitlines())
    return [line for line in lines if line["event"] == "audit"]


async def _event(log: io.StringIO) -> dict[str, Any]:
    """Wait for an event, which must be the only one; return it. A call is logged after its answer is sent."""
    await until(lambda: _events(log))
    (event,) = _events(log)
    return event


async def _create(service: Service) -> None:
    message = {"role": 1, "content": "hello"}
    request: Any = pb.AppendMessageRequest(session_id="s", message=message, new_session={})
    await service.stub.AppendMessage(request)


async def _delete(service: Service, log: io.StringIO) -> None:
    """Delete the session, and forget the event of that."""
    await _call(service, "DeleteSession")
    await _event(log)
    log.truncate(0)
    log.seek(0)


async def _call(service: Service, method: str, **fields: Any) -> Any:
    request = getattr(pb, f"{method}Request")(**{"session_id": "s"} | fields)
    return await getattr(service.stub, method)(request, metadata=[("x-request-id", "my-own")])


def test_every_rpc_is_an_act_or_has_a_reason_why_not(service: Service) -> None:
    """A new RPC must be in one of the tables above, and the server has the same acts."""
    names = [method.name for contract in _CONTRACTS for method in contract.methods]
    assert sorted([*_ACTS, *_ACTS_ON_CREDENTIALS, *_NO_ACTS]) == sorted(names)
    parts = (service.app.metrics, Accounting(service.app.metrics, 1), service.app._load)  # noqa: SLF001 - no method is called
    all_servicers = servicers(service.app._use_cases, *parts)  # noqa: SLF001 - no method is called
    found = [methods_of(contract, all_servicers, parts[1]) for contract in _CONTRACTS]
    acts = {name for methods in found for name, method in methods.items() if method.terms.act}
    assert acts == {*_ACTS, *_ACTS_ON_CREDENTIALS}


@pytest.mark.parametrize(("method", "act", "fields"), _CASES)
async def test_an_act_is_one_event_that_no_level_filters(
    service: Service, log: io.StringIO, method: str, act: str, fields: dict[str, Any]
) -> None:
    """It names the tenant, the credential, the session, the method and the request, and nothing else."""
    logging.getLogger().setLevel(logs.LEVELS[-1].upper())
    await _create(service)
    if method == "UndeleteSession":
        await _delete(service, log)
    await _call(service, method, **fields)
    event = await _event(log)
    assert list(event) == [*_FIELDS, *_OWN_FIELDS]
    assert [event[name] for name in _FIELDS[1:]] == ["info", "audit", "my-own", method]
    assert [event[name] for name in _OWN_FIELDS] == [act, "OK", "default", "", "s"]


async def test_an_act_that_fails_has_its_code(service: Service, log: io.StringIO) -> None:
    """The trail has attempts, too; an id that breaks the rules is not shown."""
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _call(service, "DeleteSession")
    assert (await _event(log))["code"] == "NOT_FOUND"
    with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
        await _call(service, "DeleteSession", session_id="a secret text")
    await until(lambda: len(_events(log)) == 2)
    event = _events(log)[1]
    assert (event["act"], event["code"], event["session_id"]) == ("deletion", "INVALID_ARGUMENT", "")
    assert "a secret text" not in log.getvalue()


async def test_an_append_that_replaces_nothing_is_no_act(service: Service, log: io.StringIO) -> None:
    """Only a replacement removes messages."""
    await _create(service)
    await _call(service, "AppendMessages", messages=[{"role": 1}])
    await until(lambda: "AppendMessages" in log.getvalue())
    assert _events(log) == []


@pytest.mark.parametrize("session_id", ["s", "a secret text"])
@pytest.mark.parametrize("method", _NAMED, ids=[method.name for method in _NAMED])
async def test_every_refusal_for_lack_of_rights_is_one_event(
    shared: Service,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    method: MethodDescriptor,
    session_id: str,
) -> None:
    """Also of a call that would be no act. An id that breaks the rules is not shown."""
    _take_rights(shared, monkeypatch)
    names_session = _name_session(request := GetMessageClass(method.input_type)(), session_id)
    with fails("PERMISSION_DENIED", "SCOPE_MISSING"):
        await _send(shared, method, request)
    event = await _event(log)
    assert [event[name] for name in ("act", "code", "method")] == [
        "refusal",
        "PERMISSION_DENIED",
        method.name,
    ]
    assert event["session_id"] == ("s" if names_session and session_id == "s" else "")
    assert "a secret text" not in log.getvalue()


async def test_refusals_on_one_stream_are_events_of_their_own(
    service: Service, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CallStream itself needs no right; its calls do."""
    _take_rights(service, monkeypatch)
    await made(service.stub, *({kind: {"session_id": kind}} for kind in ("append_message", "get_history")))
    await until(lambda: len(_events(log)) == 2)
    found = {(event["act"], event["method"], event["session_id"]) for event in _events(log)}
    assert found == {("refusal", "AppendMessage", "append_message"), ("refusal", "GetHistory", "get_history")}


async def test_an_act_on_a_stream_is_an_event(service: Service, log: io.StringIO) -> None:
    """A call that removes messages is an act, on a stream as alone."""
    message = {"role": "ROLE_USER", "content": "x"}
    batch = {"session_id": "s", "messages": [message], "new_session": {}}
    await made(
        service.stub,
        {"append_messages": batch, "request_id": "first"},
        {"append_messages": batch | {"keep_through_sequence": 0}, "request_id": "second"},
    )
    await until(lambda: _events(log))
    (event,) = _events(log)
    assert (event["act"], event["request_id"], event["session_id"]) == ("truncation", "second", "s")


@pytest.mark.parametrize(
    ("bound", "session_id"), [("user_id", "s"), ("user_id", "a secret text"), ("application_id", "s")]
)
async def test_a_refusal_of_a_bound_key_names_the_session(
    serve: Serve, database_url: str, log: io.StringIO, bound: str, session_id: str
) -> None:
    """It is an event like the lack of a scope, in a call alone, in a stream and on a CallStream."""
    service = await serve(database_url, auth=("keys",))
    reason = "USER_MISMATCH" if bound == "user_id" else "APPLICATION_MISMATCH"
    mine = holding(service, (await make_key(service, **{bound: "ada"}))[1]).stub
    named = {"session_id": session_id}
    if bound == "user_id":
        named |= {"user_id": "eve"}
    else:
        named |= {"new_session": {"application_id": "eve"}}
    append = pb.AppendMessageRequest(**named, message={"role": 1, "content": "x"})
    with fails("PERMISSION_DENIED", reason):
        await mine.AppendMessage(append)
    stream = mine.AppendMessageStream()
    header = stream_pb.AppendMessageStreamHeader(**named, message={"role": 1, "message_id": "m"})
    with fails("PERMISSION_DENIED", reason):
        await stream.write(stream_pb.AppendMessageStreamRequest(header=header))
        await stream
    await made(mine, {"append_message": append})
    await until(lambda: len(_events(log)) == 3)
    shown = "" if " " in session_id else session_id
    assert {(event["act"], event["session_id"]) for event in _events(log)} == {("refusal", shown)}


async def test_a_change_of_a_key_is_an_act(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """It names the key of the caller, and the key that has changed."""
    service = await serve(database_url, auth=("keys",))
    admin_id, secret = await make_key(service, tenant="acme")
    admin = credentials(service, secret)
    made = await admin.CreateApiKey(keys_pb.CreateApiKeyRequest(api_key={"scopes": [keys_pb.SCOPE_READ]}))
    key_id = made.api_key.api_key_id
    await admin.RotateApiKey(keys_pb.RotateApiKeyRequest(api_key_id=key_id))
    await admin.RevokeApiKey(keys_pb.RevokeApiKeyRequest(api_key_id=key_id))
    await until(lambda: len(_events(log)) == 3)
    found = [
        tuple(event[name] for name in ("act", "tenant", "credential", "api_key_id")) for event in _events(log)
    ]
    acts = ("key_creation", "key_rotation", "key_revocation")
    assert found == [(act, "acme", admin_id, key_id) for act in acts]


async def test_the_refusal_of_a_token_is_an_act(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """It names the token. An id that breaks the rules is not shown."""
    service = await serve(database_url, auth=("keys",))
    admin_id, secret = await make_key(service, tenant="acme")
    for token_id in ("id-1", "a secret text"):
        request = keys_pb.RefuseTokenRequest(token_id=token_id, expire_time=Timestamp(seconds=4_000_000_000))
        call = credentials(service, secret).RefuseToken(request)
        await (call if token_id == "id-1" else refused(call))
    await until(lambda: len(_events(log)) == 2)
    done, failed = _events(log)
    assert [done[name] for name in ("act", "code", "tenant", "credential", "token_id")] == [
        "token_refusal",
        "OK",
        "acme",
        admin_id,
        "id-1",
    ]
    assert (failed["code"], "token_id" in failed) == ("INVALID_ARGUMENT", False)
    assert "a secret text" not in log.getvalue()


async def test_a_refused_key_is_named(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """By its id, which is no secret; a text of another form is not shown."""
    service = await serve(database_url, auth=("keys",))
    expired_id, expired = await make_key(service, expire_time=1)
    for text in (expired, "a secret text"):
        await refused(holding(service, text).stub.GetSession(pb.GetSessionRequest(session_id="s")))
    await until(lambda: len(_events(log)) == 2)
    assert [event["credential"] for event in _events(log)] == [expired_id, ""]
    assert {event["act"] for event in _events(log)} == {"refusal"}
    assert expired not in log.getvalue()
    assert "a secret text" not in log.getvalue()


async def test_a_call_without_credentials_is_a_refusal(log: io.StringIO) -> None:
    """A call that fails before its caller is known has an event with empty ids."""
    metrics = Metrics(METHODS, SharedNumbers(1, numbers_per_worker(METHODS)), 0, dict)
    record = Accounting(metrics, 1).recorder_of("GetSession", is_stream=False, lasts=False)
    record(grpc.StatusCode.UNAUTHENTICATED, 0)
    event = await _event(log)
    assert [event[name] for name in _OWN_FIELDS] == ["refusal", "UNAUTHENTICATED", "", "", ""]


def _take_rights(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all scopes from the callers of a server that asks for no credentials."""
    authentication = service.app._authentication  # noqa: SLF001 - no credential has no scope at all
    without = authentication._anyone._replace(scopes=frozenset())  # noqa: SLF001
    monkeypatch.setattr(authentication, "_anyone", without)


def _name_session(request: Any, session_id: str) -> bool:
    """Name a session in a request, or in the header of a stream; return whether it can name one."""
    named = request if "session_id" in request.DESCRIPTOR.fields_by_name else getattr(request, "header", None)
    if named is not None:
        named.session_id = session_id
    return named is not None


async def _send(service: Service, method: MethodDescriptor, request: Any) -> None:
    """Send a request of any method as a stream; gRPC's wire format is the same."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    async for _ in service.channel.stream_stream(path)(iter([request.SerializeToString()])):
        pass
