"""The field mask of UpdateSession: its rules, and the changes that it selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.limits import MAX_MASK_PATHS
from sessionhistory_server.rpc.convert import session as convert

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.rpc.validation.checks import Checks

_SETTINGS: Final = tuple(f"history_settings.{name}" for name in spb.HistorySettings.DESCRIPTOR.fields_by_name)
_EXPIRATION: Final = ("expire_time", "ttl")
_SCALARS: Final = ("title", "model", "status", "labels", "metadata", "state")

MUTABLE: Final = (*_SCALARS, "history_settings", *_SETTINGS, *_EXPIRATION)
"""The paths that a mask may name."""
_FIXED: Final = "cannot change: leave it out, or create a session for the other application"


def check(checks: Checks, request: pb.UpdateSessionRequest) -> None:
    """Check the paths of the mask. A violation does not quote an unknown path, which may be any text."""
    checks.require(not request.session.application_id, "session.application_id", _FIXED)
    if not checks.length("update_mask.paths", request.update_mask.paths, MAX_MASK_PATHS):
        return
    for index, path in enumerate(request.update_mask.paths):
        rule = _FIXED if path == "application_id" else f"must be one of *, {', '.join(MUTABLE)}"
        checks.require(path in MUTABLE or path == "*", f"update_mask.paths[{index}]", rule)
    fields = _paths(request)
    checks.require(fields, "update_mask", "must name a field, or the session must have one to change")


def changes(request: pb.UpdateSessionRequest) -> dict[str, Any]:
    """Return the new values by field of ``SessionContent``.

    A field that the mask names and the session does not have is cleared.
    """
    session, paths = request.session, _paths(request)
    content = convert.session_content(session)
    changed: dict[str, Any] = {path: getattr(content, path) for path in _SCALARS if path in paths}
    if "title" in changed:
        changed["title"] = session.title  # empty, not null: a later message must not become the title
    for path in _SETTINGS:
        if path in paths or "history_settings" in paths:
            name = f"history_{path.partition('.')[2]}"
            changed[name] = getattr(content, name)
    if not paths.isdisjoint(_EXPIRATION):
        changed |= convert.expiration(session)
    return changed


def _paths(request: pb.UpdateSessionRequest) -> set[str]:
    if not request.HasField("update_mask"):
        return _present(request.session)
    paths = set(request.update_mask.paths)
    return set(MUTABLE) if "*" in paths else paths


def _present(session: spb.SessionFields) -> set[str]:
    """Return the mutable fields that are set in a session; of the settings, each one that is set."""
    present = {field.name for field, _ in session.ListFields()} & set(MUTABLE)
    if "history_settings" in present:
        present.remove("history_settings")
        present |= {f"history_settings.{field.name}" for field, _ in session.history_settings.ListFields()}
    return present
