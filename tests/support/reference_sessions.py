"""The reference model's creation, reading, listing, update, deletion and restoration of sessions."""

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
        name = request.session_id or self._made_id()
        if name not in self.sessions:
            kept = self._new_session(name, request.user_id, request.session)
            return pb.CreateSessionResponse(session=kept.shown, created=True)
        if request.allow_existing and self._is_visible(name, request.user_id):
            return pb.CreateSessionResponse(session=self.sessions[name].shown)
        raise Refused("ALREADY_EXISTS", "SESSION_EXISTS")

    def _GetSession(self, request: pb.GetSessionRequest) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=self._found(request).shown)

    def _UpdateSession(self, request: pb.UpdateSessionRequest) -> pb.UpdateSessionResponse:
        new, kept = request.session, self._found(request)
        shown = kept.shown
        stale = request.etag and request.etag != shown.etag
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
        active = self._active(request.user_id, request.application_id)
        require(active, "NOT_FOUND", "SESSION_NOT_FOUND")
        return pb.GetActiveSessionResponse(session=active[-1].shown)

    def _EnsureActiveSession(self, request: pb.EnsureActiveSessionRequest) -> pb.EnsureActiveSessionResponse:
        if active := self._active(request.user_id, request.new_session.application_id):
            return pb.EnsureActiveSessionResponse(session=active[-1].shown)
        require(request.new_session_id not in self.sessions, "ALREADY_EXISTS", "SESSION_EXISTS")
        name = request.new_session_id or self._made_id()
        kept = self._new_session(name, request.user_id, request.new_session)
        return pb.EnsureActiveSessionResponse(session=kept.shown, created=True)

    def _active(self, user_id: str, application_id: str) -> list[Kept]:
        active = [kept for kept in self.sessions.values() if rules.is_active(kept, user_id, application_id)]
        return sorted(active, key=lambda kept: rules.nanos(kept.shown.last_activity_time))

    def _ListSessions(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        order = pb.SessionOrder.Name(request.order_by or pb.SESSION_ORDER_LAST_ACTIVITY_TIME_DESC)
        time = order.removeprefix("SESSION_ORDER_").rpartition("_")[0].lower()
        sign = 1 if order.endswith("_ASC") else -1

        def place(kept: Kept) -> int:
            return sign * rules.nanos(getattr(kept.shown, time))

        wanted = [kept for kept in self.sessions.values() if rules.is_wanted_session(request, kept)]
        wanted.sort(key=place)
        page, token = rules.page(request, [place(kept) for kept in wanted])
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

    def _new_session(self, name: str, user_id: str, given: spb.SessionFields) -> Kept:
        shown = spb.Session(session_id=name, user_id=user_id, token_counter=f"{self.counter}@2")
        shown.create_time.CopyFrom(self._now)
        shown.last_activity_time.CopyFrom(self._now)
        for field in ("application_id", "title", "model", "labels", "metadata", "state", "history_settings"):
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
            shown.ClearField("end_time")
        elif shown.status != before:
            shown.end_time.CopyFrom(self._now)

    def _set_expiration(self, shown: spb.Session, given: spb.SessionFields) -> None:
        shown.ClearField("expire_time")
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
