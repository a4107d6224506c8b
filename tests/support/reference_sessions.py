"""Sessions in the reference: made, read, changed, listed, deleted and restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import reference_rules as rules
from support.reference_kept import Kept
from support.reference_rules import Refused, require

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

RETENTION_SECONDS = 30 * 86_400


class Sessions:
    """The methods for sessions; a part of ``Reference``."""

    sessions: dict[str, Kept]
    counter: str
    _now: Timestamp
    _found: Any
    _is_visible: Any
    _made_id: Any

    def _CreateSession(self, request: pb.CreateSessionRequest) -> pb.CreateSessionResponse:
        name = request.session_id or request.session.session_id or self._made_id()
        if name not in self.sessions:
            kept = self._new_session(name, request.session.user_id, request.session)
            return pb.CreateSessionResponse(session=kept.shown, created=True)
        if request.allow_existing and self._is_visible(name, request.session.user_id):
            return pb.CreateSessionResponse(session=self.sessions[name].shown)
        raise Refused("ALREADY_EXISTS", "SESSION_EXISTS")

    def _GetSession(self, request: pb.GetSessionRequest) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=self._found(request).shown)

    def _UpdateSession(self, request: pb.UpdateSessionRequest) -> pb.UpdateSessionResponse:
        new = request.session
        request.user_id = request.user_id or new.user_id
        kept = self._found(request, new.session_id)
        shown = kept.shown
        stale = new.etag and new.etag != shown.etag
        require(not stale, "ABORTED", "ETAG_MISMATCH")
        for path in rules.paths_of(request):
            match path.split("."):
                case ["history_settings", name]:
                    rules.copy_field(new.history_settings, shown.history_settings, name)
                case ["status"]:
                    self._set_status(shown, new.status)
                case ["expire_time"] | ["ttl"]:
                    self._set_expiration(shown, new)
                case [name]:
                    rules.copy_field(new, shown, name)
                    kept.titled |= name == "title"
        if not shown.history_settings.ListFields():
            shown.ClearField("history_settings")
        shown.state_version += "state" in rules.paths_of(request)
        self._touch(shown)
        return pb.UpdateSessionResponse(session=shown)

    def _GetActiveSession(self, request: pb.GetActiveSessionRequest) -> pb.GetActiveSessionResponse:
        active = [kept for kept in self.sessions.values() if rules.is_active(kept, request.user_id)]
        if active:
            newest = max(active, key=lambda kept: rules.nanos(kept.active_time))
            return pb.GetActiveSessionResponse(session=newest.shown)
        create = request.create_session
        require(request.HasField("create_session"), "NOT_FOUND", "SESSION_NOT_FOUND")
        require(create.session_id not in self.sessions, "ALREADY_EXISTS", "SESSION_EXISTS")
        kept = self._new_session(create.session_id or self._made_id(), request.user_id, create)
        return pb.GetActiveSessionResponse(session=kept.shown, created=True)

    def _ListSessions(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        by_creation = request.order_by == pb.SESSION_ORDER_CREATION

        def time(kept: Kept) -> int:
            return rules.nanos(kept.shown.create_time if by_creation else kept.active_time)

        wanted = [kept for kept in self.sessions.values() if rules.is_wanted_session(request, kept)]
        wanted.sort(key=time, reverse=True)
        page, token = rules.page(request, [-time(kept) for kept in wanted])
        return pb.ListSessionsResponse(sessions=[wanted[i].shown for i in page], next_page_token=token)

    def _DeleteSession(self, request: pb.DeleteSessionRequest) -> pb.DeleteSessionResponse:
        name = request.session_id
        if not self._is_visible(name, request.user_id, deleted_too=request.purge):
            require(request.allow_missing, "NOT_FOUND", "SESSION_NOT_FOUND")
            return pb.DeleteSessionResponse()
        shown = self.sessions[name].shown
        if request.purge:
            del self.sessions[name]
        else:
            shown.delete_time.CopyFrom(self._now)
            shown.purge_time.CopyFrom(rules.seconds_after(self._now, RETENTION_SECONDS))
            self._touch(shown)
        return pb.DeleteSessionResponse(session=shown)

    def _UndeleteSession(self, request: pb.UndeleteSessionRequest) -> pb.UndeleteSessionResponse:
        there = self._is_visible(request.session_id, request.user_id, deleted_too=True)
        require(there, "NOT_FOUND", "SESSION_NOT_FOUND")
        kept = self.sessions[request.session_id]
        require(not kept.live, "FAILED_PRECONDITION", "SESSION_NOT_DELETED")
        kept.shown.ClearField("delete_time")
        self._set_purge_time(kept.shown)
        self._touch(kept.shown)
        return pb.UndeleteSessionResponse(session=kept.shown)

    def _new_session(self, name: str, user_id: str, given: spb.Session) -> Kept:
        shown = spb.Session(session_id=name, user_id=user_id, create_time=self._now)
        shown.token_counter = self.counter
        for field in ("title", "model", "labels", "metadata", "state", "history_settings"):
            rules.copy_field(given, shown, field)
        if not shown.history_settings.ListFields():
            shown.ClearField("history_settings")
        self._set_status(shown, given.status)
        self._set_expiration(shown, given)
        self._touch(shown)
        self.sessions[name] = Kept(shown)
        return self.sessions[name]

    def _set_status(self, shown: spb.Session, status: spb.SessionStatus) -> None:
        before = shown.status
        shown.status = status or spb.SESSION_STATUS_ACTIVE
        if shown.status == spb.SESSION_STATUS_ACTIVE:
            shown.ClearField("complete_time")
        elif shown.status != before:
            shown.complete_time.CopyFrom(self._now)

    def _set_expiration(self, shown: spb.Session, given: spb.Session) -> None:
        shown.ClearField("expiration")
        if given.HasField("expire_time"):
            shown.expire_time.CopyFrom(rules.to_the_microsecond(given.expire_time))
        elif given.HasField("ttl"):
            shown.expire_time.CopyFrom(rules.seconds_after(self._now, given.ttl.seconds))
        self._set_purge_time(shown)

    def _set_purge_time(self, shown: spb.Session) -> None:
        shown.ClearField("purge_time")
        if shown.HasField("expire_time"):
            shown.purge_time.CopyFrom(rules.seconds_after(shown.expire_time, RETENTION_SECONDS))

    def _touch(self, shown: spb.Session) -> None:
        shown.update_time.CopyFrom(self._now)
        shown.etag = f"etag-{shown.session_id}-{rules.nanos(self._now)}"
