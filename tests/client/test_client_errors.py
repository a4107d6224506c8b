"""The class and the content of every error, each by its real cause."""

from __future__ import annotations

import inspect
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import client_causes as causes
import grpc
import pytest
import pytest_asyncio
from client_causes import World

from sessionhistory import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.databases import Databases
    from support.service import Service


@dataclass(frozen=True)
class Expected:
    """The expected class, code, reason and details; the metadata by patterns."""

    kind: type[errors.SessionHistoryError]
    code: str
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    retry_delay_seconds: float | None = None


SESSION = {"session_id": "SESSION"}
LATER = causes.RETRY_DELAY_SECONDS
CAUSES: dict[Callable[[World], Awaitable[None]], Expected] = {
    causes.bad_field: Expected(
        errors.InvalidFieldError,
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        violations={
            "messages[1].name": "must have at most 256 characters",
            "messages[1].turn_id": "must not contain a NUL character (U+0000)",
        },
    ),
    causes.bad_page_token: Expected(
        errors.InvalidPageTokenError,
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
        violations={
            "page_token": "must be the next_page_token of the previous page, with all fields but"
            " page_size as they were then"
        },
    ),
    causes.credentials_missing: Expected(
        errors.CredentialsMissingError, "UNAUTHENTICATED", "CREDENTIALS_MISSING"
    ),
    causes.credentials_invalid: Expected(
        errors.CredentialsInvalidError, "UNAUTHENTICATED", "CREDENTIALS_INVALID"
    ),
    causes.credentials_expired: Expected(
        errors.CredentialsExpiredError, "UNAUTHENTICATED", "CREDENTIALS_EXPIRED"
    ),
    causes.scope_missing: Expected(
        errors.ScopeMissingError, "PERMISSION_DENIED", "SCOPE_MISSING", {"scope": "write"}
    ),
    causes.user_mismatch: Expected(errors.UserMismatchError, "PERMISSION_DENIED", "USER_MISMATCH"),
    causes.application_mismatch: Expected(
        errors.ApplicationMismatchError, "PERMISSION_DENIED", "APPLICATION_MISMATCH"
    ),
    causes.api_key_not_found: Expected(
        errors.ApiKeyNotFoundError, "NOT_FOUND", "API_KEY_NOT_FOUND", {"api_key_id": "A{16}"}
    ),
    causes.too_many_refused_tokens: Expected(
        errors.TooManyRefusedTokensError,
        "FAILED_PRECONDITION",
        "TOO_MANY_REFUSED_TOKENS",
        {"max_refused_tokens": "0"},
    ),
    causes.too_many_api_keys: Expected(
        errors.TooManyApiKeysError,
        "FAILED_PRECONDITION",
        "TOO_MANY_API_KEYS",
        {"max_api_keys": "0"},
    ),
    causes.api_key_without_secret: Expected(
        errors.ApiKeyWithoutSecretError,
        "FAILED_PRECONDITION",
        "API_KEY_WITHOUT_SECRET",
        {"api_key_id": "[0-9A-Za-z]{16}"},
    ),
    causes.malformed_request: Expected(errors.MalformedRequestError, "INVALID_ARGUMENT", "MALFORMED_REQUEST"),
    causes.request_too_large: Expected(
        errors.RequestTooLargeError, "INVALID_ARGUMENT", "REQUEST_TOO_LARGE", {"max_bytes": str(4 * 2**20)}
    ),
    causes.session_not_found: Expected(
        errors.SessionNotFoundError, "NOT_FOUND", "SESSION_NOT_FOUND", SESSION
    ),
    causes.message_not_found: Expected(
        errors.MessageNotFoundError, "NOT_FOUND", "MESSAGE_NOT_FOUND", SESSION
    ),
    causes.session_exists: Expected(errors.SessionExistsError, "ALREADY_EXISTS", "SESSION_EXISTS", SESSION),
    causes.message_id_reused: Expected(
        errors.MessageIdReusedError, "ALREADY_EXISTS", "MESSAGE_ID_REUSED", {"message_id": "m", "index": "1"}
    ),
    causes.sequence_mismatch: Expected(
        errors.SequenceMismatchError, "ABORTED", "SEQUENCE_MISMATCH", SESSION | {"actual_last_sequence": "1"}
    ),
    causes.etag_mismatch: Expected(
        errors.EtagMismatchError, "ABORTED", "ETAG_MISMATCH", SESSION | {"actual_etag": ".+"}
    ),
    causes.state_version_mismatch: Expected(
        errors.StateVersionMismatchError,
        "ABORTED",
        "STATE_VERSION_MISMATCH",
        SESSION | {"actual_state_version": "1"},
    ),
    causes.state_too_large: Expected(
        errors.StateTooLargeError,
        "FAILED_PRECONDITION",
        "STATE_TOO_LARGE",
        SESSION | {"size_bytes": "300015", "max_bytes": "262144"},
    ),
    causes.compaction_mismatch: Expected(
        errors.CompactionMismatchError,
        "ABORTED",
        "COMPACTION_MISMATCH",
        SESSION | {"actual_compacted_through_sequence": "0"},
    ),
    causes.session_not_active: Expected(
        errors.SessionNotActiveError,
        "FAILED_PRECONDITION",
        "SESSION_NOT_ACTIVE",
        SESSION | {"status": "COMPLETED"},
    ),
    causes.session_not_deleted: Expected(
        errors.SessionNotDeletedError, "FAILED_PRECONDITION", "SESSION_NOT_DELETED", SESSION
    ),
    causes.too_many_pinned: Expected(
        errors.TooManyPinnedError, "FAILED_PRECONDITION", "TOO_MANY_PINNED", SESSION | {"pinned_count": "0"}
    ),
    causes.pool_exhausted: Expected(
        errors.PoolExhaustedError, "RESOURCE_EXHAUSTED", "POOL_EXHAUSTED", retry_delay_seconds=LATER
    ),
    causes.server_overloaded: Expected(
        errors.ServerOverloadedError, "RESOURCE_EXHAUSTED", "SERVER_OVERLOADED", retry_delay_seconds=LATER
    ),
    causes.limit_reached: Expected(
        errors.LimitReachedError,
        "RESOURCE_EXHAUSTED",
        "LIMIT_REACHED",
        {"limit": "tenant_sessions", "max": "1", "count": "1"},
        retry_delay_seconds=60.0,
    ),
    causes.rate_limited: Expected(
        errors.RateLimitedError,
        "RESOURCE_EXHAUSTED",
        "RATE_LIMITED",
        {"limit": "tenant_requests_per_second", "max": "1"},
        retry_delay_seconds=LATER,
    ),
    causes.database_unavailable: Expected(
        errors.DatabaseUnavailableError, "UNAVAILABLE", "DATABASE_UNAVAILABLE", retry_delay_seconds=LATER
    ),
    causes.database_read_only: Expected(
        errors.DatabaseReadOnlyError, "UNAVAILABLE", "DATABASE_READ_ONLY", retry_delay_seconds=LATER
    ),
    causes.schema_outdated: Expected(
        errors.SchemaOutdatedError, "UNAVAILABLE", "SCHEMA_OUTDATED", retry_delay_seconds=LATER
    ),
    causes.transaction_conflict: Expected(
        errors.TransactionConflictError, "UNAVAILABLE", "TRANSACTION_CONFLICT", retry_delay_seconds=LATER
    ),
    causes.token_keys_unavailable: Expected(
        errors.TokenKeysUnavailableError, "UNAVAILABLE", "TOKEN_KEYS_UNAVAILABLE", retry_delay_seconds=LATER
    ),
    causes.server_stopping: Expected(
        errors.ServerStoppingError,
        "UNAVAILABLE",
        "SERVER_STOPPING",
        {"kept": "false"},
        retry_delay_seconds=LATER,
    ),
    causes.statement_timeout: Expected(
        errors.DeadlineExceededError, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"
    ),
    causes.internal: Expected(errors.InternalError, "INTERNAL", "INTERNAL", {"request_id": "[0-9a-f]{16}"}),
}
# gRPC's own errors: the server has not answered, or is not our service.
UNANSWERED: dict[Callable[[World], Awaitable[None]], Expected] = {
    causes.deadline: Expected(errors.DeadlineExceededError, "DEADLINE_EXCEEDED", ""),
    causes.nobody_there: Expected(errors.UnavailableError, "UNAVAILABLE", ""),
    causes.over_the_limit_of_grpc: Expected(errors.ResourceExhaustedError, "RESOURCE_EXHAUSTED", ""),
    causes.another_service: Expected(errors.SessionHistoryError, "UNIMPLEMENTED", ""),
}


@pytest_asyncio.fixture
async def world(
    connect: Callable[..., Client],
    serve: Callable[..., Awaitable[Service]],
    shared: Service,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A client of the shared service, with a session of one message."""
    with ExitStack() as stack:

        def new_database() -> str:
            return stack.enter_context(databases.migrated())

        made = World(connect(shared.address), shared, connect, serve, new_database, monkeypatch)
        await made.prepare()
        yield made


async def fail(world: World, cause: Callable[[World], Awaitable[None]]) -> errors.SessionHistoryError:
    """Return the error of a cause."""
    with pytest.raises(errors.SessionHistoryError) as caught:
        await cause(world)
    return caught.value


def check(error: errors.SessionHistoryError, expected: Expected, session_id: str) -> None:
    """Compare an error with the expected one."""
    assert type(error) is expected.kind
    assert (error.code, error.reason) == (grpc.StatusCode[expected.code], expected.reason)
    assert error.metadata.keys() == expected.metadata.keys()
    for name, value in error.metadata.items():
        assert re.fullmatch(expected.metadata[name].replace("SESSION", session_id), value)
    assert error.violations == tuple(errors.FieldViolation(*each) for each in expected.violations.items())
    assert error.retry_delay_seconds == expected.retry_delay_seconds
    assert isinstance(error.__cause__, grpc.RpcError)
    assert str(error) == error.__cause__.details()


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
async def test_an_error_of_the_service(world: World, cause: Callable[[World], Awaitable[None]]) -> None:
    """The error's class is that of its reason, and it has all details of the service."""
    error = await fail(world, cause)
    check(error, CAUSES[cause], world.session_id)
    assert re.fullmatch("[0-9a-f]{16}(/[0-9]+)?", error.request_id)  # over a stream: its id, and a number
    if "request_id" in error.metadata:
        assert error.metadata["request_id"] == error.request_id


@pytest.mark.parametrize("cause", UNANSWERED, ids=lambda cause: cause.__name__)
async def test_an_error_of_the_way(world: World, cause: Callable[[World], Awaitable[None]]) -> None:
    """Without an answer of the service the error has the code and the code's class only."""
    error = await fail(world, cause)
    check(error, UNANSWERED[cause], world.session_id)
    assert error.request_id == ""


def test_no_error_is_left_out() -> None:
    """Each class has a cause above, except the classes that only have subclasses for reasons."""
    classes = {
        each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, Exception)
    }
    tested = {expected.kind for expected in (CAUSES | UNANSWERED).values()}
    assert classes - tested == {
        errors.InvalidArgumentError,
        errors.UnauthenticatedError,
        errors.PermissionDeniedError,
        errors.NotFoundError,
        errors.AlreadyExistsError,
        errors.AbortedError,
        errors.FailedPreconditionError,
    }
    for kind in classes - tested:
        assert kind.__subclasses__()
