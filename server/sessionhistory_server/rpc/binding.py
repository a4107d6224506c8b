"""Make the ``Caller`` of a call from its identity and the user that its request names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory_server import call_context
from sessionhistory_server.credentials.errors import user_mismatch

if TYPE_CHECKING:
    from sessionhistory_server.rpc.dispatch import Method


def acting_user(method: Method, request: Any, bound: str | None) -> str | None:  # noqa: ANN401 - of any method
    """Return the user that a call acts for, and name it in the request if the caller is bound to it.

    Args:
        method: The method of the call.
        request: The request; the first one of a stream.
        bound: The user that the caller is bound to; ``None``: none.

    Raises:
        PermissionDeniedError: the request names another user than that.
    """
    named = method.user_of(request)
    if bound is None:
        return named or None
    if {named, getattr(request, "new_user_id", "")} - {"", bound}:
        _note_for_trail(request)
        raise user_mismatch()
    fields = request.DESCRIPTOR.fields_by_name
    if "user_id" in fields:
        request.user_id = bound
    elif "header" in fields and request.HasField("header") and _names_user(request.header):
        request.header.user_id = bound
    return bound


def _names_user(header: Any) -> bool:  # noqa: ANN401 - of any method
    return "user_id" in header.DESCRIPTOR.fields_by_name


def _note_for_trail(request: Any) -> None:  # noqa: ANN401 - of any method
    """Note the session that a refused request names."""
    named = getattr(request, "header", request)
    call = call_context.current()
    call.subject = call.subject._replace(session_id=getattr(named, "session_id", ""))
