"""The releases before each migration, which run beside the new release during a deploy."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.processes import Server
from support.service import connect_thread

if TYPE_CHECKING:
    import grpc

BEFORE = {
    "0007": "8b3c536d2b3b0508fd56f2bffd456d2b1e1a9adb",
    "0008": "6eba5a7ff7c477eedf4e77861f495cbc2922a5b4",
    "0009": "631492b7fa526e4a0ca1b87636d43b87f5d809ee",
    "0010": "672515213ebab57b9e2451fee73b1a33be5380c4",
    "0011": "14a9391a0aba096f9a624efe36db9a068ba3f1e3",
    "0012": "14a9391a0aba096f9a624efe36db9a068ba3f1e3",
    "0013": "a6f6d3ce2345996e2546fd395414879868b5a4af",
}
"""By revision: the last commit for the schema before it. The first six revisions have none."""

OTHER_NAMES = ("0007", "0008")
"""The revisions whose previous release has the contract's older names (ADR 0032)."""

_ROOT = Path(__file__).parents[2]
_SOURCES = ("client", "server", "migrations")


def extract(revision: str, folder: Path) -> Path:
    """Write the sources of the release before a revision into a folder, and return the folder.

    The test is skipped if the repository's history does not contain that release.
    """
    command = ["git", "-C", str(_ROOT), "archive", BEFORE[revision], *_SOURCES]
    try:
        archive = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no history here with commit {BEFORE[revision]}: {error}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as sources:
        sources.extractall(folder, filter="data")
    return folder


def stub_of(server: Server, revision: str) -> Any:
    """Wait until the release before a revision serves; return its methods under today's names."""
    stub = server.stub()
    if revision not in OTHER_NAMES:
        return stub
    return OtherNames(connect_thread(server.address()), stub)


def serve(folder: Path, database_url: str, *, listen: str = "127.0.0.1:0") -> Server:
    """Start the release in a folder on a database, with an environment."""
    # The first releases have the command in the package of the server.
    packages = ("sessionhistory_cli", "sessionhistory_server")
    command = next(name for name in packages if list(folder.glob(f"*/{name}/__main__.py")))
    arguments = ("--listen", listen, "--metrics-listen", "off", "--log-format", "json")
    path = os.pathsep.join(str(folder / source) for source in _SOURCES)
    return Server(
        command=(sys.executable, "-m", command, "serve", *arguments),
        cwd=folder,
        PYTHONPATH=path,
        SESSION_HISTORY_DATABASE_URL=database_url,
    )


class OtherNames:
    """The methods of a release that has ``OTHER_NAMES``, under today's names.

    Field numbers have not changed, so most requests are the same bytes. ``TruncateMessages`` was called
    ``TruncateHistory``. Some ids of sessions and users were fields of the request's session and are fields of
    the request today: in ``CreateSession``, ``UpdateSession``, ``ResetSession`` and ``ForkSession``, of which
    only ``ForkSession`` is sent here. A session without messages had no time of its last activity.
    """

    def __init__(self, channel: grpc.Channel, stub: Any) -> None:
        self._stub = stub
        self.TruncateMessages = channel.unary_unary(
            "/sessionhistory.v1.SessionHistoryService/TruncateHistory",
            request_serializer=pb.TruncateMessagesRequest.SerializeToString,
            response_deserializer=pb.TruncateMessagesResponse.FromString,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def ForkSession(  # noqa: N802 - as the contract names it
        self, request: pb.ForkSessionRequest, **options: Any
    ) -> pb.ForkSessionResponse:
        """Make a session with the messages of another."""
        ids = spb.Session(session_id=request.new_session_id, user_id=request.new_user_id)
        named = pb.ForkSessionRequest()
        named.CopyFrom(request)
        named.new_session.MergeFromString(ids.SerializeToString())
        answer: pb.ForkSessionResponse = self._stub.ForkSession(named, **options)
        if not answer.session.HasField("last_activity_time"):
            answer.session.last_activity_time.CopyFrom(answer.session.create_time)
        return answer
