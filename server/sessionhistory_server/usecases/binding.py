"""Keep a caller that is bound to a user or to an application to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.credentials.errors import application_mismatch, user_mismatch

if TYPE_CHECKING:
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.session import SessionContent


def user_for(caller: Caller, asked: str | None) -> str | None:
    """Return the user for a request that names one or none: the caller's own user if it has one.

    Raises:
        PermissionDeniedError: the request names another user than the caller's.
    """
    if caller.user_id is not None and asked not in (None, caller.user_id):
        raise user_mismatch()
    return caller.user_id or asked


def application_for(caller: Caller, asked: str | None) -> str | None:
    """Return the application for a request that names one or none: the caller's own if it is bound to one.

    Raises:
        PermissionDeniedError: the request names another application than the caller's.
    """
    if caller.application_id is not None and asked not in (None, caller.application_id):
        raise application_mismatch()
    return caller.application_id or asked


def content_for(caller: Caller, content: SessionContent) -> SessionContent:
    """Return the content of a new session, in the application of its creator.

    Raises:
        PermissionDeniedError: the content names another application than the caller's.
    """
    if caller.application_id is None:
        return content
    return content._replace(application_id=application_for(caller, content.application_id))
