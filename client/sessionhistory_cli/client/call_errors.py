"""Explain the error of a call in one line, as the error of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import grpc

from sessionhistory.errors import (
    AbortedError,
    AlreadyExistsError,
    CredentialsMissingError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    SessionNotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from sessionhistory_cli.client.formatting import counted, visible

if TYPE_CHECKING:
    from sessionhistory import SessionHistoryError
    from sessionhistory_cli.endpoint import Endpoint

# The errors after which the same call would be refused again.
_REFUSALS: Final = (NotFoundError, AlreadyExistsError, AbortedError, FailedPreconditionError)
# The remedies if a deleted session holds the id of a new one.
_WAYS_OUT: Final = "`session-history undelete`, `session-history delete --purge`"


def explain(error: SessionHistoryError, endpoint: Endpoint, *, timeout_seconds: int) -> click.ClickException:
    """Return the error of a command for the error of a call.

    Args:
        error: The error of the call.
        endpoint: The server that was called.
        timeout_seconds: The time limit of the call.
    """
    target = endpoint.target
    match error:
        case InvalidArgumentError():
            return click.UsageError(visible(_with_the_option(error)))
        case DeadlineExceededError():
            text = endpoint.diagnose() or (
                f"no answer from {target} within {counted(timeout_seconds, 'second')}: is --server right?"
                " --timeout-seconds gives it longer"
            )
        case UnavailableError(reason=""):
            over = " with TLS" if endpoint.tls else ""
            text = endpoint.diagnose() or (
                f"no server answers at {target}{over}: start one with `session-history serve`,"
                " or name it with --server"
            )
        case CredentialsMissingError():
            text = f"{target} needs a key: {_key_place(endpoint)}"
        case UnauthenticatedError() | PermissionDeniedError():
            refused = "call" if isinstance(error, PermissionDeniedError) else "credential"
            text = f"{target} refuses the {refused}: {visible(str(error))} ({_reason(error)})"
        case _ if error.code is grpc.StatusCode.UNIMPLEMENTED:
            text = f"another service answers at {target}: name the right --server"
        case _:
            text = _refusal(error) or f"{target} cannot do this now ({_reason(error)}): {visible(str(error))}"
    return click.ClickException(text)


def _key_place(endpoint: Endpoint) -> str:
    if endpoint.context is None:
        return "name it in SESSION_HISTORY_API_KEY, or with --api-key"
    return f"name it as api_key in the context {endpoint.context.name}"


def _refusal(error: SessionHistoryError) -> str:
    """Return the text for a call that would be refused again; empty if the error is of another kind."""
    said = visible(str(error))
    if isinstance(error, SessionNotFoundError) and "purge_time" not in error.metadata:
        return (
            f"{said}: it is missing, deleted, expired or another user's; see"
            " `session-history sessions --deleted`"
        )
    return f"{said} ({_reason(error)})" if isinstance(error, _REFUSALS) else ""


def _reason(error: SessionHistoryError) -> str:
    return _WAYS_OUT if "purge_time" in error.metadata else error.reason or error.code.name


def _with_the_option(error: InvalidArgumentError) -> str:
    """Return the message of the error, with the option or argument in place of the field that it sets."""
    said = str(error)
    for violation in error.violations[:1]:
        name = violation.field.rpartition(".")[2]
        for parameter in click.get_current_context().command.params:
            if parameter.name == name:
                option = isinstance(parameter, click.Option)
                typed = parameter.opts[0] if option else parameter.human_readable_name
                return typed + said.removeprefix(violation.field)
    return said
