"""The text of conversations is in no log line and in no error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.usecases.messages import Messages
from support.databases import execute
from support.errors import fails
from support.keys import holding, make_key, refused
from support.waiting import until

if TYPE_CHECKING:
    import io
    from collections.abc import Awaitable, Callable, Iterable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

SAID = "zq-the-quick-brown-fox"

_TALKATIVE_CODES = ["OK", "ALREADY_EXISTS", "OK", "INVALID_ARGUMENT", *["OK"] * 9, "NOT_FOUND"]

# States of a database in which it refuses or misses a row, and names the row in its error.
_TROUBLES = {
    "check": "alter table messages add check (length(content) < 1) not valid",
    "not null": "alter table messages add column more text not null",
    "unique": "create unique index on messages (role)",
    "numeric": "alter table messages alter column content type integer using 0",
    "too long": "alter table messages alter column content type varchar(3) using ''",
    "not null title": "alter table sessions add check (title is null) not valid",
    "no column": "alter table messages drop column content",
    "no table": "alter table messages rename to gone",
    "no sessions": "alter table sessions rename to gone",
    "read only": "do $$ begin execute 'alter database ' || quote_ident(current_database())"
    " || ' set default_transaction_read_only = on'; end $$",
    "raise": "create function shout() returns trigger language plpgsql as"
    " $$ begin raise exception 'shout: %', new; end $$;"
    "create trigger shout before insert or update on messages for each row execute function shout()",
}


def _talkative(session_id: str) -> list[tuple[str, Any]]:
    """Return calls of each kind that have the secret words wherever text is allowed."""
    message = message_pb2.Message(
        message_id="m",
        role=message_pb2.ROLE_ASSISTANT,
        name=SAID,
        content=SAID,
        tool_calls=[message_pb2.ToolCall(id=SAID, name=SAID, arguments=f'{{"a": "{SAID}"}}')],
        payload=SAID.encode(),
        payload_type=SAID,
        metadata=f'{{"a": "{SAID}"}}',
        model=SAID,
        provider=SAID,
        finish_reason=SAID,
        parts=[{"text": SAID}, {"reasoning": {"text": SAID, "opaque": SAID, "signature": SAID}}],
    )
    session = session_pb2.SessionFields(
        application_id=SAID,
        title=SAID,
        model=SAID,
        labels={"app": SAID},
        metadata=f'{{"a": "{SAID}"}}',
        state=f'{{"a": "{SAID}"}}',
    )
    summary = message_pb2.Message(content=SAID, name=SAID, metadata=f'{{"a": "{SAID}"}}')
    mask = FieldMask(paths=["title", "state"])
    named = {"session_id": session_id, "user_id": SAID}
    changed = session_pb2.SessionFields(title=SAID, state=f'{{"a": "{SAID}"}}')
    return [
        ("CreateSession", pb.CreateSessionRequest(**named, session=session)),
        ("CreateSession", pb.CreateSessionRequest(**named, session=session)),
        ("AppendMessage", pb.AppendMessageRequest(**named, message=message, new_session=session)),
        ("AppendMessages", pb.AppendMessagesRequest(**named, messages=[message, message])),
        (
            "UpdateSession",
            pb.UpdateSessionRequest(**named, session=changed, update_mask=mask),
        ),
        ("GetHistory", pb.GetHistoryRequest(**named)),
        (
            "AppendMessages",
            pb.AppendMessagesRequest(**named, messages=[message], keep_through_sequence=0),
        ),
        ("ListMessages", pb.ListMessagesRequest(**named)),
        ("GetMessage", pb.GetMessageRequest(**named, message_id="m")),
        ("ListSessions", pb.ListSessionsRequest(user_id=SAID, title_contains=SAID, labels={"app": SAID})),
        ("CompactHistory", pb.CompactHistoryRequest(**named, through_sequence=1, message=summary)),
        ("TruncateMessages", pb.TruncateMessagesRequest(**named, keep_through_sequence=0)),
        ("DeleteSession", pb.DeleteSessionRequest(**named)),
        ("AppendMessage", pb.AppendMessageRequest(**named, message=message)),
    ]


def _wrong() -> list[tuple[str, Any]]:
    """Return calls that are refused for a field with the secret words."""
    said: dict[str, Any] = {"role": message_pb2.ROLE_USER}
    long = SAID * 100_000
    messages: list[dict[str, Any]] = [
        {"name": long},
        {"metadata": SAID},
        {"metadata": f'["{SAID}"]'},
        {"content": f"{SAID}\0"},
        {"content": long},
        {"tool_call_id": long},
        {"tool_calls": [message_pb2.ToolCall(name=long)]},
        {"message_id": f"{SAID} "},
        {"payload_type": long},
        {"finish_reason": long},
        {"parts": [{"reasoning": {"text": f"{SAID}\0", "signature": SAID}}]},
        {"parts": [{"reasoning": {"signature": SAID}}]},
        {"role": 99, "content": SAID},
    ]
    sessions: list[dict[str, Any]] = [
        {"title": long},
        {"state": SAID},
        {"labels": {f"{SAID} ": ""}},
        {"labels": {"key": long}},
        {"application_id": long},
        {"metadata": f'{{"{SAID}": NaN}}'},
    ]
    appends = (
        pb.AppendMessageRequest(session_id="s", message=message_pb2.Message(**said | each))
        for each in messages
    )
    creations = (pb.CreateSessionRequest(session=session_pb2.SessionFields(**each)) for each in sessions)
    return [
        *(("AppendMessage", request) for request in appends),
        *(("CreateSession", request) for request in creations),
        ("CreateSession", pb.CreateSessionRequest(session_id="s", user_id=long)),
        ("ForkSession", pb.ForkSessionRequest(session_id="s", new_session_id=f"{SAID} ", new_user_id=long)),
        ("ListSessions", pb.ListSessionsRequest(page_token=SAID)),
        ("ListSessions", pb.ListSessionsRequest(title_contains=long)),
        ("ListMessages", pb.ListMessagesRequest(session_id="s", page_token=SAID)),
        ("GetHistory", pb.GetHistoryRequest(session_id="s", user_id=long)),
        (
            "TruncateMessages",
            pb.TruncateMessagesRequest(session_id="s", user_id=long, keep_through_sequence=0),
        ),
        (
            "CompactHistory",
            pb.CompactHistoryRequest(session_id="s", through_sequence=1, message={"name": long}),
        ),
    ]


async def _say(service: Service, calls: Iterable[tuple[str, Any]]) -> list[str]:
    """Make valid and invalid calls; check the errors and return the codes."""
    codes = []
    for method, request in calls:
        try:
            await getattr(service.stub, method)(request)
        except grpc.aio.AioRpcError as error:
            said = f"{error.details()} {error.trailing_metadata()}"
            assert SAID not in said, f"{method}: {said}"
            codes.append(error.code().name)
        else:
            codes.append("OK")
    return codes


async def test_right_and_wrong_calls(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """Neither stored nor refused text is logged or returned in an error, except ids."""
    service = await serve(database_url, slow_call_millis=1)
    assert await _say(service, _talkative("s")) == _TALKATIVE_CODES
    assert set(await _say(service, _wrong())) == {"INVALID_ARGUMENT"}
    assert "AppendMessage" in log.getvalue()
    assert SAID not in log.getvalue()


@pytest.mark.parametrize("trouble", _TROUBLES)
async def test_a_database_in_trouble(serve: Serve, database_url: str, log: io.StringIO, trouble: str) -> None:
    """Postgres's text about a row that it refuses is neither logged nor returned."""
    execute(database_url, _TROUBLES[trouble])
    service = await serve(database_url)
    codes = set(await _say(service, _talkative("s")))
    assert codes & {"INTERNAL", "UNAVAILABLE", "ALREADY_EXISTS"}
    assert codes <= {"OK", "INTERNAL", "UNAVAILABLE", "ALREADY_EXISTS", "NOT_FOUND", "INVALID_ARGUMENT"}
    assert "Logging error" not in log.getvalue()
    assert SAID not in log.getvalue()


async def test_keys(serve: Serve, database_url: str, log: io.StringIO) -> None:
    """Neither an accepted key nor a refused one is logged or returned in an error."""
    service = await serve(database_url, auth=("keys",), slow_call_millis=1)
    key_id, secret = await make_key(service, scopes=("read",))
    wrong = key_text.new_key(key_id)
    for text in (secret, wrong, f"{wrong} {SAID}", SAID):
        said = repr(
            await refused(holding(service, text).stub.GetSession(pb.GetSessionRequest(session_id="s")))
        )
        said += repr(await refused(holding(service, text).stub.CreateSession(pb.CreateSessionRequest())))
        assert not {secret[21:], wrong[21:], SAID} & {part for part in (text[21:], text) if part in said}
    await until(lambda: log.getvalue().count("refusal") >= 5)
    for hidden in (secret[21:], wrong[21:], SAID):
        assert hidden not in log.getvalue()
    assert key_id in log.getvalue()


async def test_a_defect_of_ours(service: Service, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is INTERNAL with the request's id, and logged by type and place only."""

    async def broken(*_: object, **__: object) -> None:
        raise ValueError(f"cannot: {SAID}") from KeyError(SAID)

    monkeypatch.setattr(Messages, "append", broken)
    with fails("INTERNAL", "INTERNAL") as failure:
        await service.stub.AppendMessage(
            pb.AppendMessageRequest(session_id="s", message=message_pb2.Message(role=1, content=SAID)),
            metadata=[("x-request-id", "my-own")],
        )
    assert SAID not in str(failure)
    assert "my-own" in failure.message
    (line,) = (json.loads(line) for line in log.getvalue().splitlines() if "internal error" in line)
    assert (line["error"], line["cause"]["error"]) == ("ValueError", "KeyError")
    assert (line["request_id"], line["method"]) == ("my-own", "AppendMessage")
    assert any("broken" in place for place in line["where"])
    assert SAID not in log.getvalue()
