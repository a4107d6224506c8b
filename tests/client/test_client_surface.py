"""The public names, and the modules that importing them loads."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

import pytest

import sessionhistory
from sessionhistory import (
    AsyncMessageStream,
    AsyncSessionHistoryClient,
    MessageStream,
    SessionHistoryClient,
    errors,
    types,
)

if TYPE_CHECKING:
    from types import ModuleType

CLIENTS = {"AsyncSessionHistoryClient", "SessionHistoryClient", "AsyncMessageStream", "MessageStream"}
VALUES = {
    "RecountTokensResult",
    *("ApiKey", "ApiKeyPage", "ApiKeySecret", "Scope"),
    *("RefusedToken", "RefusedTokenPage"),
    *("Session", "SessionFields", "SessionStatus", "SessionOrder", "SessionPage"),
    *("CreateSessionResult", "EnsureActiveSessionResult"),
    *("Message", "MessageStatus", "Role", "ToolCall", "TextPart", "MediaPart", "JsonPart", "Usage"),
    *("ReasoningPart", "MessageOrder"),
    *("MessagePage", "AppendMessageResult", "AppendMessagesResult", "TruncateMessagesResult"),
    "OnBreak",
    *("SessionParent", "ForkSessionResult", "ResetSessionResult"),
    "CompactHistoryResult",
    "HistorySummary",
    *("History", "HistoryCut", "HistoryOptions", "HistorySettings", "UnansweredCalls"),
}
FUNCTIONS = {"tls_credentials"}
ARGUMENTS = {"SessionUpdate", "SessionFilters", "MessageFilters"}
ERRORS = {
    *("SessionHistoryError", "FieldViolation"),
    *("InvalidArgumentError", "InvalidFieldError", "InvalidPageTokenError"),
    *("MalformedRequestError", "RequestTooLargeError"),
    *(
        "UnauthenticatedError",
        "CredentialsMissingError",
        "CredentialsInvalidError",
        "CredentialsExpiredError",
        "TokenKeysUnavailableError",
    ),
    *("PermissionDeniedError", "ScopeMissingError", "UserMismatchError", "ApplicationMismatchError"),
    *("NotFoundError", "SessionNotFoundError", "MessageNotFoundError", "ApiKeyNotFoundError"),
    *("AlreadyExistsError", "SessionExistsError", "MessageIdReusedError"),
    *("AbortedError", "SequenceMismatchError", "EtagMismatchError", "StateVersionMismatchError"),
    "CompactionMismatchError",
    *("FailedPreconditionError", "SessionNotActiveError", "SessionNotDeletedError", "TooManyPinnedError"),
    *("StateTooLargeError", "TooManyApiKeysError", "ApiKeyWithoutSecretError"),
    "TooManyRefusedTokensError",
    *("ResourceExhaustedError", "PoolExhaustedError", "ServerOverloadedError", "LimitReachedError"),
    "RateLimitedError",
    *("UnavailableError", "DatabaseUnavailableError", "DatabaseReadOnlyError", "SchemaOutdatedError"),
    "TransactionConflictError",
    "ServerStoppingError",
    *("DeadlineExceededError", "InternalError"),
}
METHODS = {
    "recount_tokens",
    *("create_session", "get_session", "update_session", "list_sessions", "list_sessions_page"),
    *("delete_session", "undelete_session", "append_message", "append_messages", "get_message"),
    *("append_message_stream", "get_active_session", "ensure_active_session"),
    *("get_history", "list_messages", "list_messages_page", "truncate_messages", "update_state", "close"),
    *("fork_session", "reset_session"),
    "compact_history",
    *("refuse_token", "list_refused_tokens", "list_refused_tokens_page"),
    *("create_api_key", "list_api_keys", "list_api_keys_page", "rotate_api_key", "revoke_api_key"),
}
STREAM_METHODS = {"add_part", "call_tool", "finish", "write", "write_arguments"}
ITERATORS = {"list_sessions", "list_messages", "list_api_keys", "list_refused_tokens"}
BLOCKS = {"append_message_stream"}
# Not grpc_health and grpc_reflection: grpc itself loads them where they are installed.
OF_THE_SERVER = {
    *("alembic", "click", "prometheus_client", "psycopg", "psycopg_pool", "pytest", "rich", "sqlalchemy"),
    *("sessionhistory_migrations", "sessionhistory_pytest", "sessionhistory_server"),
}


def classes(module: ModuleType) -> set[str]:
    """Return the public classes that a module defines."""
    found = inspect.getmembers(module, inspect.isclass)
    return {name for name, each in found if each.__module__ == module.__name__ and name[0] != "_"}


def test_what_the_package_exports() -> None:
    """The package exports the clients, their parameters' and results' types, and the base error."""
    assert sessionhistory.__all__ == sorted(
        CLIENTS | VALUES | ARGUMENTS | FUNCTIONS | {"SessionHistoryError"}
    )
    for name in VALUES:
        assert getattr(sessionhistory, name) is getattr(types, name)
    assert sessionhistory.SessionHistoryError is errors.SessionHistoryError


def test_what_only_annotations_need() -> None:
    """Types that only annotations need are in ``sessionhistory.types`` with the others."""
    assert classes(types) == VALUES | ARGUMENTS
    assert get_args(types.Part) == (
        *(types.TextPart, types.MediaPart, types.JsonPart),
        types.ReasoningPart,
    )
    assert get_origin(types.JsonObject) is Mapping


def test_what_can_be_caught() -> None:
    """Errors are in ``sessionhistory.errors``."""
    assert classes(errors) == ERRORS


# Only in asyncio, the function of a key may be async.
KEY = ("aio.KeyFunction", "threads.KeyFunction")


@pytest.mark.parametrize("client", [AsyncSessionHistoryClient, SessionHistoryClient])
def test_what_a_client_can_do(client: type) -> None:
    """A client has exactly these methods, each with a docstring, and its own docstring names them all."""
    methods = {name: value for name, value in inspect.getmembers(client) if not name.startswith("_")}
    assert methods.keys() == METHODS
    assert all(inspect.getdoc(method) for method in methods.values())
    described = inspect.getdoc(client) or ""
    assert [name for name in METHODS if f"``{name}``" not in described] == []


@pytest.mark.parametrize("name", sorted(METHODS | {"__init__"}))
def test_both_clients_take_the_same(name: str) -> None:
    """Both clients have equal parameters, defaults, types and docstrings; one awaits its results."""
    in_asyncio = getattr(AsyncSessionHistoryClient, name)
    in_threads = getattr(SessionHistoryClient, name)
    ours, theirs = inspect.signature(in_asyncio), inspect.signature(in_threads)
    assert str(ours.replace(return_annotation="")).replace(*KEY) == str(theirs.replace(return_annotation=""))
    assert ours.return_annotation.removeprefix("Async") == theirs.return_annotation
    assert in_asyncio.__doc__ == in_threads.__doc__
    assert inspect.isasyncgenfunction(in_asyncio) == (name in ITERATORS)
    assert inspect.iscoroutinefunction(in_asyncio) == (name not in ITERATORS | BLOCKS | {"__init__"})
    assert not inspect.iscoroutinefunction(in_threads)


@pytest.mark.parametrize("name", sorted(STREAM_METHODS | {"__init__"}))
def test_both_streams_take_the_same(name: str) -> None:
    """Both streams have equal parameters, defaults, types and docstrings."""
    in_asyncio, in_threads = getattr(AsyncMessageStream, name), getattr(MessageStream, name)
    ours, theirs = inspect.signature(in_asyncio), inspect.signature(in_threads)
    assert list(ours.parameters) == list(theirs.parameters)
    assert in_asyncio.__doc__ == in_threads.__doc__
    assert inspect.iscoroutinefunction(in_asyncio) == (name != "__init__")
    for stream in (AsyncMessageStream, MessageStream):
        assert {each for each in vars(stream) if not each.startswith("_")} == STREAM_METHODS


@pytest.mark.parametrize("name", sorted(VALUES | ARGUMENTS))
def test_types_can_be_read_at_run_time(name: str) -> None:
    """Type hints can be evaluated at run time, for validation and serialization; values are immutable."""
    value = getattr(types, name)
    assert get_type_hints(value) or issubclass(value, Enum)
    if dataclasses.is_dataclass(value):
        assert value.__dataclass_params__.frozen
        assert hasattr(value, "__slots__")


def test_the_package_says_that_it_is_typed() -> None:
    """``py.typed`` is there for type checkers."""
    assert files(sessionhistory).joinpath("py.typed").is_file()


def test_the_package_says_which_release_it_is() -> None:
    """The package's release is that of the distribution."""
    assert sessionhistory.__version__ == version("session-history")
    assert "__version__" in dir(sessionhistory)


def test_an_import_brings_nothing_of_the_server() -> None:
    """Importing the client loads no package that only the server and its tools need."""
    program = (
        "import json, sys, sessionhistory\n"
        "for name in sessionhistory.__all__: getattr(sessionhistory, name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"sessionhistory", "grpc", "google"} <= loaded
    assert not loaded & OF_THE_SERVER


def test_the_stubs_come_without_the_clients() -> None:
    """Importing the stubs alone, as the server does, does not import the clients."""
    program = (
        "import sys; import sessionhistory.v1.session_history_service_pb2\n"
        "assert not {'sessionhistory.types', 'sessionhistory._codec'} & set(sys.modules)\n"
        "import sessionhistory; sessionhistory.errors; sessionhistory.SessionHistoryClient\n"
        "assert set(sessionhistory.__all__) <= set(dir(sessionhistory))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_is_not_there_is_said() -> None:
    """A missing name raises the usual AttributeError."""
    with pytest.raises(AttributeError, match="module 'sessionhistory' has no attribute 'nothing'"):
        _ = sessionhistory.nothing
