"""Which fields an UpdateSession changes, and to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.limits import MAX_MASK_PATHS
from sessionhistory_server.rpc import convert

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory.v1 import session_pb2 as spb
    from sessionhistory_server.rpc.checks import Checks

_SETTINGS: Final = ("history_settings.max_messages", "history_settings.token_budget")
_EXPIRATION: Final = ("expire_time", "ttl")
_SCALARS: Final = ("title", "model", "status", "labels", "metadata", "state")

MUTABLE: Final = (*_SCALARS, "history_settings", *_SETTINGS, *_EXPIRATION)
"""The paths that a mask may name."""


def check(checks: Checks, request: pb.UpdateSessionRequest) -> None:
    """Check the paths of the mask. Unknown ones are not named: they may hold anything."""
    if not checks.length("update_mask.paths", request.update_mask.paths, MAX_MASK_PATHS):
        return
    for index, path in enumerate(request.update_mask.paths):
        named = path in MUTABLE or path == "*"
        checks.require(named, f"update_mask.paths[{index}]", f"must be one of *, {', '.join(MUTABLE)}")
    fields = _paths(request)
    checks.require(fields, "update_mask", "must name a field, or the session must have one to change")


def changes(request: pb.UpdateSessionRequest) -> dict[str, Any]:
    """Return the new values by the names of ``SessionContent``; a named field that is absent is cleared."""
    session, paths = request.session, _paths(request)
    content = convert.session_content(session, None)
    changed: dict[str, Any] = {path: getattr(content, path) for path in _SCALARS if path in paths}
    if "title" in changed:
        changed["title"] = session.title  # empty, not null: no message becomes the title of a cleared one
    for path in _SETTINGS:
        if path in paths or "history_settings" in paths:
            name = path.partition(".")[2]
            changed[f"history_{name}"] = convert.optional(session.history_settings, name)
    if not paths.isdisjoint(_EXPIRATION):
        changed |= convert.expiration(session)
    return changed


def _paths(request: pb.UpdateSessionRequest) -> set[str]:
    if not request.HasField("update_mask"):
        return _present(request.session)
    paths = set(request.update_mask.paths)
    return set(MUTABLE) if "*" in paths else paths


def _present(session: spb.Session) -> set[str]:
    """Return the mutable fields that a session carries; of the settings, only those that are set."""
    present = {field.name for field, _ in session.ListFields()} & set(MUTABLE)
    if "history_settings" in present:
        present.remove("history_settings")
        present |= {f"history_settings.{field.name}" for field, _ in session.history_settings.ListFields()}
    return present
