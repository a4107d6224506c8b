"""The callers that the tests of use cases act as."""

from __future__ import annotations

from sessionhistory_server.model.caller import ALL_SCOPES, DEFAULT_TENANT, Caller


def caller(user_id: str | None = None) -> Caller:
    """Return a caller that may do everything: for one user, or for none."""
    return Caller(DEFAULT_TENANT, None, user_id, ALL_SCOPES, log_id="test", must_name_user=False)
