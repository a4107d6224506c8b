"""Answers that the service does not give today: of a newer service, or of a proxy."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from fake_server import FakeServer, Refusal, info, retry_after
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2

from sessionhistory import (
    HistoryCut,
    HistorySettings,
    MessageStatus,
    Role,
    SessionStatus,
    UnansweredCalls,
    errors,
)
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

KINDS = {
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "UNAUTHENTICATED": errors.UnauthenticatedError,
    "PERMISSION_DENIED": errors.PermissionDeniedError,
    "NOT_FOUND": errors.NotFoundError,
    "ALREADY_EXISTS": errors.AlreadyExistsError,
    "ABORTED": errors.AbortedError,
    "FAILED_PRECONDITION": errors.FailedPreconditionError,
    "RESOURCE_EXHAUSTED": errors.ResourceExhaustedError,
    "UNAVAILABLE": errors.UnavailableError,
    "DEADLINE_EXCEEDED": errors.DeadlineExceededError,
    "INTERNAL": errors.InternalError,
}
OTHERS = [code.name for code in grpc.StatusCode if code.name not in {*KINDS, "OK"}]

BROKEN = b"\xff\xff\xff\xff"
BAD_REQUEST = error_details_pb2.BadRequest(
    field_violations=[{"field": "session_id", "description": "is required"}]
)


@pytest.fixture
def failing(connect: Callable[..., Client], fake: FakeServer) -> Client:
    """A client of the fake server whose deadline leaves no time for a retry."""
    return connect(fake.address, timeout_seconds=50)


async def failure(client: Client, fake: FakeServer, **refusal: Any) -> errors.SessionHistoryError:
    """Return the error for an answer to a call that is not repeated."""
    fake.answers = [Refusal(**refusal)]
    with pytest.raises(errors.SessionHistoryError) as caught:
        await client.undelete_session("s")
    assert len(fake.calls) == 1, repr(caught.value)
    return caught.value


@pytest.mark.parametrize("code", [*KINDS, *OTHERS])
async def test_a_reason_of_a_newer_service(failing: Client, fake: FakeServer, code: str) -> None:
    """An unknown reason has the class of its code, with the reason and all other details."""
    details = [info("BRAND_NEW", session_id="s", why="because"), BAD_REQUEST, retry_after(60)]
    error = await failure(failing, fake, code=grpc.StatusCode[code], details=details, message="new")
    assert type(error) is KINDS.get(code, errors.SessionHistoryError)
    assert (str(error), error.code, error.reason) == ("new", grpc.StatusCode[code], "BRAND_NEW")
    assert error.metadata == {"session_id": "s", "why": "because"}
    assert error.violations == (errors.FieldViolation("session_id", "is required"),)
    assert error.retry_delay_seconds == 60


async def test_a_reason_says_more_than_its_code(failing: Client, fake: FakeServer) -> None:
    """A known reason keeps its class even under another code."""
    refusal = {"code": grpc.StatusCode.INTERNAL, "details": [info("SESSION_NOT_FOUND")]}
    assert type(await failure(failing, fake, **refusal)) is errors.SessionNotFoundError


@pytest.mark.parametrize(
    "refusal",
    [
        {},
        {"serialized": b""},
        {"serialized": BROKEN},
        {"details": [info("SESSION_NOT_FOUND", domain="example.org")]},
        {"details": [error_details_pb2.DebugInfo(detail="at line 7")]},
        {"details": [Packed(type_url="type.googleapis.com/newer.v2.Detail", value=BROKEN)]},
        *(
            {"details": [Packed(type_url=f"type.googleapis.com/google.rpc.{name}", value=BROKEN)]}
            for name in ("ErrorInfo", "BadRequest", "RetryInfo")
        ),
    ],
    ids=str,
)
async def test_details_that_are_not_ours(failing: Client, fake: FakeServer, refusal: dict[str, Any]) -> None:
    """Without readable details the error has the class of its code only."""
    error = await failure(failing, fake, code=grpc.StatusCode.ABORTED, **refusal)
    assert type(error) is errors.AbortedError
    assert (error.reason, error.metadata, error.violations) == ("", {}, ())
    assert (error.retry_delay_seconds, error.request_id) == (None, "")


async def test_what_can_be_read_beside_broken_details(failing: Client, fake: FakeServer) -> None:
    """A detail that cannot be read does not affect the others."""
    broken = Packed(type_url="type.googleapis.com/google.rpc.RetryInfo", value=BROKEN)
    details = [broken, info("ETAG_MISMATCH", actual_etag="e")]
    error = await failure(failing, fake, code=grpc.StatusCode.ABORTED, details=details)
    assert type(error) is errors.EtagMismatchError
    assert (error.metadata, error.retry_delay_seconds) == ({"actual_etag": "e"}, None)


async def test_a_status_without_a_message(failing: Client, fake: FakeServer) -> None:
    """An error always has a message."""
    assert str(await failure(failing, fake, code=grpc.StatusCode.ABORTED, message="")) == "ABORTED"


@pytest.mark.parametrize(
    "copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
async def test_an_error_can_be_sent_to_another_process(
    failing: Client, fake: FakeServer, copied: Callable[[Any], Any]
) -> None:
    """An error that is pickled keeps its class and its content."""
    details = [info("INVALID_FIELD", more="x"), BAD_REQUEST, retry_after(0.25)]
    refusal = {"code": grpc.StatusCode.INVALID_ARGUMENT, "details": details, "request_id": "order-7"}
    error = await failure(failing, fake, **refusal)
    assert error.request_id == "order-7"
    other = copied(error)
    assert type(other) is errors.InvalidFieldError
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
    assert all(isinstance(violation, errors.FieldViolation) for violation in other.violations)


async def test_words_of_a_newer_service(failing: Client, fake: FakeServer) -> None:
    """A number without a known name is UNKNOWN, and the other fields are read."""
    message = {"message_id": "m", "role": 99, "status": 98, "content": "hello"}
    fake.answers = [pb.GetHistoryResponse(history={"messages": [message], "cut": 97})]
    window = await failing.get_history("s")
    (read,) = window.messages
    assert (window.cut, read.role, read.status) == (HistoryCut.UNKNOWN, Role.UNKNOWN, MessageStatus.UNKNOWN)
    assert read.content == "hello"
    settings = {"max_messages": 1, "unanswered_calls": 95}
    fake.answers = [
        pb.GetSessionResponse(session={"session_id": "s", "status": 96, "history_settings": settings})
    ]
    session = await failing.get_session("s")
    assert session.status is SessionStatus.UNKNOWN
    assert session.history_settings == HistorySettings(
        max_messages=1, unanswered_calls=UnansweredCalls.UNKNOWN
    )
