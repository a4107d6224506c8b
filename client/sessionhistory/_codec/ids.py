"""Ids in requests: create the ids of new sessions, and refuse empty ids.

In the contract, an empty user, application or owner means "any". In the client only ``None`` means that.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sessionhistory._codec.fields import invalid_field

if TYPE_CHECKING:
    from sessionhistory import types


def checked_user_id(user_id: str | None, path: str = "user_id") -> str | None:
    """Return the id of the user that a call acts for; refuse an empty one."""
    return _not_empty(user_id, path, "to act for any user")


def required_user_id(user_id: str) -> str:
    """Return the id of the user whose session the call finds; refuse a missing one."""
    if not user_id:
        raise invalid_field("user_id", "must not be empty")
    return user_id


def checked_application_id(application_id: str | None, path: str = "application_id") -> str | None:
    """Return the id of the application whose sessions the call finds; refuse an empty one."""
    return _not_empty(application_id, path, "for sessions of any application")


def checked_owner_id(new_user_id: str | None) -> str | None:
    """Return the id of the owner of a session that is created from another one; refuse an empty one."""
    return _not_empty(new_user_id, "new_user_id", "for the owner of the original")


def id_or_new(session_id: str | None, new_session: types.SessionFields | None) -> str | None:
    """Return the id of a session; create an id if the call may create a session and names none."""
    return session_id if new_session is None else session_id or new_id()


def new_id() -> str:
    """Return an id for a new session. The client creates it, so that a retry can name the same session."""
    return str(uuid.uuid4())


def _not_empty(value: str | None, path: str, purpose: str) -> str | None:
    if value == "":
        raise invalid_field(path, f"must not be empty; leave it out {purpose}")
    return value
