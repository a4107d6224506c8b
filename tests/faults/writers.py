"""Callers that write to sessions, and know the expected content."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sessionhistory import Message, Role, SessionFields
from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from load import Load

CALL_SECONDS = 3
_QUIET_SECONDS = 0.01


class Appender:
    """Appends to the session that all appenders share, with the project's client."""

    SESSION = "shared"

    def __init__(self, load: Load, number: int) -> None:
        self.name = f"appender-{number}"
        self.acknowledged = 0
        self.stored: dict[str, int] = {}
        """The sequence of each message by its id, in the order of the appends."""
        self._load = load
        self._count = 0

    async def run(self) -> None:
        """Append until the load stops."""
        while not self._load.stopping:
            messages = [self._message() for _ in range(self._load.randomness.choice([1, 1, 1, 3]))]
            await self._append(messages)
            self.acknowledged += 1
            await asyncio.sleep(_QUIET_SECONDS)

    async def _append(self, messages: list[Message]) -> None:
        new: dict[str, Any] = {"user_id": "everybody", "new_session": SessionFields()}
        client = self._load.client
        if len(messages) == 1:
            answer = await self._load.until_acknowledged(
                lambda: client.append_message(self.SESSION, messages[0], **new)
            )
            self.stored[messages[0].message_id] = answer.message.sequence
            return
        answer = await self._load.until_acknowledged(
            lambda: client.append_messages(self.SESSION, messages, **new)
        )
        self.stored |= {message.message_id: message.sequence for message in answer.messages}

    def _message(self) -> Message:
        self._count += 1
        return Message(
            message_id=f"{self.name}-{self._count}", role=Role.USER, content=f"{self.name} says {self._count}"
        )


class Editor:
    """Changes a session of its own in every way, with raw stubs, and knows the expected content."""

    def __init__(self, load: Load, session_id: str) -> None:
        self.name = self.session_id = session_id
        self.acknowledged = 0
        self.kept: list[tuple[int, str, str]] = []
        """Sequence, id and content of the expected messages."""
        self.last_sequence = 0
        self.state = 0
        self.title = ""
        self.summaries: set[int] = set()
        """The last sequence that each summary covers."""
        self.forks: dict[str, list[tuple[int, str, str]]] = {}
        self._load = load
        self._count = 0
        self._pinned: set[str] = set()

    async def run(self) -> None:
        """Create the session, then change it in random ways until the load stops."""
        await self._call("CreateSession", session_id=self.session_id, allow_existing=True)
        actions = [self.append] * 4 + [self.batch] * 2
        actions += [self.replace, self.stream, self.compact, self.patch, self.truncate, self.fork]
        actions += [self.delete_and_restore, self.update]
        while not self._load.stopping:
            await self._load.randomness.choice(actions)()
            self.acknowledged += 1
            await asyncio.sleep(_QUIET_SECONDS)

    async def append(self) -> None:
        """Append one message; one in ten is pinned, as long as few are."""
        pinned = len(self._pinned) < 40 and self._load.randomness.random() < 0.1
        message = self._message(pinned=pinned)
        answer = await self._call("AppendMessage", session_id=self.session_id, message=message)
        self._keep([answer.message], answer.last_sequence)

    async def batch(self) -> None:
        """Append three messages at once."""
        messages = [self._message() for _ in range(3)]
        answer = await self._call("AppendMessages", session_id=self.session_id, messages=messages)
        self._keep(answer.messages, answer.last_sequence)

    async def replace(self) -> None:
        """Replace the last messages by two others."""
        keep = self._place()
        messages = [self._message() for _ in range(2)]
        answer = await self._call(
            "AppendMessages", session_id=self.session_id, messages=messages, keep_through_sequence=keep
        )
        self._forget(keep)
        self._keep(answer.messages, answer.last_sequence)

    async def stream(self) -> None:
        """Append a message piece by piece."""
        message = self._message()
        content = message.content
        message.ClearField("content")
        header = stream_pb.AppendMessageStreamHeader(
            session_id=self.session_id, message=message, on_break=stream_pb.ON_BREAK_DROP
        )
        pieces = [
            {"header": header},
            *({"delta": {"text": letter}} for letter in content),
            {"finish": {}},
        ]
        requests = [stream_pb.AppendMessageStreamRequest(**piece) for piece in pieces]
        answer = await self._load.until_acknowledged(
            lambda: self._load.stub.AppendMessageStream(iter(requests), timeout=CALL_SECONDS)
        )
        self._keep([answer.message], answer.last_sequence)

    async def compact(self) -> None:
        """Store a summary of all messages up to some message."""
        covered = max(self.summaries, default=0)
        places = [row[0] for row in self.kept if row[0] > covered and row[1] not in self._pinned]
        if not places:
            return
        through = self._load.randomness.choice(places)
        message = mpb.Message(message_id=f"{self.name}-through-{through}-{self._count}", role="ROLE_USER")
        message.content = "a summary"
        await self._call(
            "CompactHistory", session_id=self.session_id, through_sequence=through, message=message
        )
        self.summaries.add(through)

    async def patch(self) -> None:
        """Patch the state."""
        self.state += 1
        await self._call("UpdateState", session_id=self.session_id, patch=f'{{"count": {self.state}}}')

    async def truncate(self) -> None:
        """Remove the last messages."""
        keep = self._place()
        answer = await self._call("TruncateMessages", session_id=self.session_id, keep_through_sequence=keep)
        self._forget(keep)
        self.last_sequence = answer.last_sequence

    async def fork(self) -> None:
        """Fork the messages up to some message into another session."""
        if len(self.forks) > 20:
            return
        through = self._place()
        fork_id = f"{self.name}-fork-{len(self.forks)}"
        await self._call(
            "ForkSession",
            session_id=self.session_id,
            through_sequence=through,
            new_session_id=fork_id,
            allow_existing=True,
        )
        self.forks[fork_id] = [row for row in self.kept if row[0] <= through]

    async def delete_and_restore(self) -> None:
        """Delete the session and restore it."""
        await self._call("DeleteSession", session_id=self.session_id, allow_missing=True)
        await self._call("UndeleteSession", done="FAILED_PRECONDITION", session_id=self.session_id)

    async def update(self) -> None:
        """Change the title."""
        self.title = f"title {self._count}"
        await self._call(
            "UpdateSession",
            session_id=self.session_id,
            session=spb.SessionFields(title=self.title),
            update_mask={"paths": ["title"]},
        )

    async def _call(self, method: str, *, done: str = "", **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        call = getattr(self._load.stub, method)
        return await self._load.until_acknowledged(lambda: call(request, timeout=CALL_SECONDS), done=done)

    def _message(self, *, pinned: bool = False) -> mpb.Message:
        self._count += 1
        message_id = f"{self.name}-{self._count}"
        if pinned:
            self._pinned.add(message_id)
        return mpb.Message(
            message_id=message_id,
            role="ROLE_USER",
            content=f"number {self._count}",
            pinned=pinned,
        )

    def _place(self) -> int:
        """Choose one of the last three sequences, or 0 in an empty session."""
        return self._load.randomness.choice([sequence for sequence, *_ in self.kept[-4:]] or [0])

    def _keep(self, messages: Any, last_sequence: int) -> None:
        self.kept += [(message.sequence, message.message_id, message.content) for message in messages]
        self.last_sequence = last_sequence

    def _forget(self, after: int) -> None:
        self.kept = [row for row in self.kept if row[0] <= after]
        self.summaries = {through for through in self.summaries if through <= after}
