"""Rules for streamed messages: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.reference_rules import Refused

if TYPE_CHECKING:
    from support.reference_kept import Kept

_NAMES = st.sampled_from((*[sent.IDS[0]] * 6, *[sent.IDS[1]] * 3, *sent.IDS[2:]))
_ENDINGS = {
    "finish": (stream_pb.AppendMessageStreamRequest(finish={"finish_reason": "stop"}),),
    "without a finish": (),
    "broken": (stream_pb.AppendMessageStreamRequest(delta={"text": "\0"}),),
}


class Streams:
    """Send streams to the service and to the reference."""

    both: Any
    _user: Any
    _reach: Any

    @rule(
        name=_NAMES,
        user=st.sampled_from(("", "", "own", "own", *sent.USERS)),
        texts=st.lists(st.sampled_from(("", "Hello", ", ", "wörld", "👩‍👩‍👧", "x" * 90)), max_size=4),
        number=st.integers(1, 3),
        create=st.none() | sent.sessions(active=True),
        on_break=st.integers(0, 2),
        ending=st.sampled_from(("finish", "finish", *_ENDINGS)),
        role=st.sampled_from((0, 0, mpb.ROLE_USER)),
        expected=st.sampled_from((None, None, None, 0, -1, 1)),
        again=st.booleans(),
    )
    def stream(  # noqa: PLR0917 - drawn by name
        self,
        name: str,
        user: str,
        texts: list[str],
        number: int,
        create: spb.SessionFields | None,
        on_break: int,
        ending: str,
        role: mpb.Role,
        expected: int | None,
        again: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        """Stream a message of a few texts, under an id that may be used already, with any ending."""
        kept = self.both.reference.sessions.get(name)
        last = kept.shown.last_sequence if kept else 0
        header = stream_pb.AppendMessageStreamHeader(
            session_id=name,
            user_id=self._user(user, name),
            message={
                "message_id": f"stream-{number}",
                "role": role,
                "finish_reason": "not yet" * (number % 2),
            },
            new_session=create,
            expected_last_sequence=None if expected is None else max(last + expected, 0),
            on_break=on_break,
        )
        pieces = [stream_pb.AppendMessageStreamRequest(header=header)]
        pieces += [stream_pb.AppendMessageStreamRequest(delta={"text": text}) for text in texts]
        self._send(pieces, ending)
        if again and ending != "finish":
            self._send([*pieces, *pieces[-1:]] if texts else pieces, "finish")

    def _send(self, pieces: list[stream_pb.AppendMessageStreamRequest], ending: str) -> None:
        kept, message_id = self._of(pieces[0].header)
        begun = kept.sent.get(message_id) if kept else None
        response = self.both.call("AppendMessageStream", (*pieces, *_ENDINGS[ending]))
        if isinstance(response, Refused):
            self._reach(f"stream {response.reason}")
        elif begun is not None and begun.status == mpb.MESSAGE_STATUS_INTERRUPTED and ending == "finish":
            completed = response.message.status == mpb.MESSAGE_STATUS_COMPLETE
            self._reach("stream completed" if completed else "stream stored before")
        else:
            self._reach(f"stream {ending}")

    def _of(self, header: stream_pb.AppendMessageStreamHeader) -> tuple[Kept | None, str]:
        return self.both.reference.sessions.get(header.session_id), header.message.message_id
