"""Refused tokens, as their managers see them."""

from __future__ import annotations

from typing import NamedTuple


class RefusedToken(NamedTuple):
    """A refused token. Times are in microseconds."""

    token_id: str
    user_id: str | None
    """The user whose token alone is refused; ``None``: that of any user."""
    application_id: str | None
    """The application whose token alone is refused; ``None``: that of any application."""
    expire_time: int
    refuse_time: int
    generation: int
    """The number of the last change, by which lists are ordered."""
