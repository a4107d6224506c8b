"""No answer, error, log line or metric of a tenant's calls shows another tenant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from rpc_support import METHODS, append, request, said

from sessionhistory.v1 import credentials_service_pb2 as keys_pb
from sessionhistory_server.observability.prometheus import format_metrics
from sessionhistory_server.rpc.dispatch import CREDENTIALS, SERVICE
from support.databases import execute
from support.keys import holding, make_key
from support.waiting import until

if TYPE_CHECKING:
    import io
    from collections.abc import Awaitable, Callable, Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

WORD = "zq-ada"
"""In all that belongs to one tenant, except the ids that the other tenant's calls name."""
TENANT, OTHER = f"{WORD}-tenant", "eve-tenant"
NAMED = {"session_id": "s", "user_id": "u", "message_id": "m"}

_ALL = [method for service in (SERVICE, CREDENTIALS) for method in service.methods]


async def _fill(service: Service) -> tuple[str, str]:
    """Store things of a tenant; return the id of a key of that tenant, and a page token."""
    key_id, secret = await make_key(service, tenant=TENANT, display_name=f"{WORD}-key")
    owner = holding(service, secret)
    fields: Any = {"title": f"{WORD}-title", "application_id": f"{WORD}-application", "labels": {"l": WORD}}
    for session_id in (NAMED["session_id"], f"{WORD}-session"):
        message = said(f"{WORD}-content", message_id=NAMED["message_id"])
        await append(owner, session_id, message, user_id=NAMED["user_id"], new_session=fields)
    page = await owner.stub.ListSessions(request("ListSessions", "", page_size=1))
    assert page.next_page_token
    return key_id, page.next_page_token


def _requests(method: MethodDescriptor, key_id: str, page_token: str) -> Iterator[Message]:
    """Yield a request that names all that it can of the other tenant, and valid requests."""
    empty = GetMessageClass(method.input_type)
    ids = NAMED | {"api_key_id": key_id, "page_token": page_token}
    yield empty(**{name: value for name, value in ids.items() if name in empty.DESCRIPTOR.fields_by_name})
    header = NAMED | {"message": {"role": 1}} if method.name == "AppendMessageStream" else None
    if method.name in METHODS:
        for user_id in ("", NAMED["user_id"]):
            yield request(method.name, NAMED["session_id"], user_id)
    elif method.name == "CallStream":
        kinds = (
            "append_message",
            "get_history",
            "list_messages",
            "get_message",
            "get_session",
            "update_state",
        )
        yield empty(calls=[{kind: {"session_id": NAMED["session_id"]}} for kind in kinds])
    elif header:
        header.pop("message_id")
        yield empty(header=header)
    elif method.name == "CreateApiKey":
        yield empty(api_key={"scopes": [keys_pb.SCOPE_READ], "user_id": NAMED["user_id"]})


async def _told(service: Service, method: MethodDescriptor, sent: Message, key: str, request_id: str) -> str:
    """Make a call; return all that it tells its caller."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = (("authorization", f"Bearer {key}"), ("x-request-id", request_id))
    call = service.channel.stream_stream(path)(iter([sent.SerializeToString()]), metadata=metadata)
    told = ""
    try:
        async for answer in call:
            told += repr(answer)
    except grpc.aio.AioRpcError as error:
        told += f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()}"
    return told + repr(await call.initial_metadata())


async def test_a_tenant_learns_nothing_of_another(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """By any RPC with the other's ids, keys and page tokens, with each scope, and without the scope."""
    service = await serve(database_url, auth=("keys",), slow_call_millis=1)
    key_id, page_token = await _fill(service)
    all_scopes = (await make_key(service, tenant=OTHER))[1]
    read = (await make_key(service, tenant=OTHER, scopes=("read",)))[1]
    expired = (await make_key(service, tenant=OTHER, expire_time=1))[1]
    own: set[str] = set()
    for method in _ALL:
        sent = list(_requests(method, key_id, page_token))
        for key in (all_scopes, read, expired):
            for each in sent:
                own.add(request_id := f"own-{len(own)}")
                told = await _told(service, method, each, key, request_id)
                assert WORD not in told, (method.name, each, told)
    await until(lambda: own <= {line.get("request_id") for line in _lines(log)})
    lines = [line for line in _lines(log) if line.get("request_id") in own]
    assert WORD not in json.dumps(lines)
    assert {line["tenant"] for line in lines if line["event"] == "audit"} == {OTHER, ""}
    _, metrics = format_metrics(service.app.metrics, accept="", accept_encoding="")
    assert not {TENANT, OTHER, WORD} & {name for name in (TENANT, OTHER, WORD) if name.encode() in metrics}


def _lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize(
    "trouble", ["alter table messages rename to gone", "alter table sessions rename to gone"]
)
async def test_a_defect_names_no_tenant(
    serve: Serve, database_url: str, log: io.StringIO, trouble: str
) -> None:
    """An INTERNAL error and its log line have the request id only."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service, tenant=TENANT)
    execute(database_url, trouble)
    for method in _ALL:
        for sent in _requests(method, "A" * 16, ""):
            assert WORD not in await _told(service, method, sent, secret, "mine")
    for line in _lines(log):
        assert line["event"] == "audit" or WORD not in json.dumps(line)
