"""A start with a counter: one line if it is not available, and one loaded copy for all workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tokens_support import says

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.processes import Server, run
from support.token_plugins import URL

if TYPE_CHECKING:
    from pathlib import Path


def path(packages: Path) -> str:
    """Return PYTHONPATH with the installed packages."""
    return os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH"))))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiktoken:tiny", f"download {URL} into a folder, and name it with --tiktoken-dir"),
        ("words-and-more", "no counter is called 'words-and-more', only characters, tiktoken:ENCODING, "),
        ("refusing", "set WORDS_HOME to where the words are"),
        ("broken", "test_plugin:broken failed: KeyError: 'nothing works'"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_counter_that_cannot_be_had_stops_the_start(
    packages: Path, tmp_path: Path, name: str, said: str, workers: str
) -> None:
    """The error is one line, and no database is created."""
    done = run(
        *("serve", "--token-counter", name, "--workers", workers, "--data-dir", tmp_path / "data"),
        variables={"PYTHONPATH": path(packages)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"Error: --token-counter (SESSION_HISTORY_TOKEN_COUNTER) {name}: {said}")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_count_by_it(packages: Path, vocabularies: Path, database_url: str, workers: str) -> None:
    """Workers use the vocabulary that the supervisor loaded before the fork, even if its file is deleted."""
    server = Server(
        *("--database-url", database_url, "--workers", workers),
        PYTHONPATH=path(packages),
        SESSION_HISTORY_TOKEN_COUNTER="tiktoken:tiny",
        SESSION_HISTORY_TIKTOKEN_DIR=str(vocabularies),
    )
    try:
        stub = server.stub()
        (vocabularies / "tiny.tiktoken").unlink()
        for number in range(8):
            answer = server.stub().AppendMessage(
                pb.AppendMessageRequest(
                    session_id=f"s{number}", message=says("hello world"), new_session=spb.SessionFields()
                )
            )
            assert answer.message.token_count == 2
        session = stub.GetSession(pb.GetSessionRequest(session_id="s0")).session
        assert session.token_counter == "tiktoken:tiny@2"
    finally:
        server.clean()
