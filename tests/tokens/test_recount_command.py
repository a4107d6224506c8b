"""`session-history recount`: all sessions get one counter, while servers serve."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner
from tokens_support import append, counter_of, inconsistent, says

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from sessionhistory_cli.commands import cli
from sessionhistory_server.errors import UnavailableError, database_unavailable
from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.observability import logs
from sessionhistory_server.store.postgres import connect
from sessionhistory_server.store.session_ref import session_key
from sessionhistory_server.usecases import tokens
from sessionhistory_server.usecases.tokens import TokenRecounts
from support.databases import execute
from support.processes import COMMAND, environment, run
from support.service import connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory_server.usecases.tokens import Recounted
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

SESSIONS = [f"s{number}" for number in range(7)]


@pytest.fixture
async def service(serve: Serve, database_url: str) -> Service:
    """A service that counts characters, and sessions: some with messages, one empty, one deleted."""
    service = await serve(database_url)
    for number, name in enumerate(SESSIONS[1:]):
        await append(service, *[says("a b c d e")] * number, says("f g", token_count=4), session_id=name)
    await service.stub.CreateSession(pb.CreateSessionRequest(session_id=SESSIONS[0]))
    await service.stub.DeleteSession(pb.DeleteSessionRequest(session_id=SESSIONS[1]))
    return service


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_SESSIONS_AT_ONCE", 2)
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # of this whole process


def invoke(url: str, *arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["recount", "--database-url", url, *arguments])


def report(result: Result) -> dict[str, Any]:
    """Return the command's JSON report."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def counters(url: str) -> set[object]:
    """Return the counters of all sessions."""
    return {counter for (counter,) in execute(url, "select token_counter from sessions")}


def numbers(**changes: object) -> dict[str, object]:
    """Return the report of a run that recounts nothing, with some changes."""
    names = ("sessions", "recounted_sessions", "changed_messages", "mixed_sessions", "busy_sessions")
    return dict.fromkeys(names, 0) | {"sessions": 7, "finished": True} | changes


@pytest.mark.usefixtures("service")
def test_all_sessions_are_recounted(database_url: str) -> None:
    """Empty and deleted sessions are recounted too; a second run has nothing to do."""
    first = invoke(database_url, "--token-counter", "words", "--json")
    assert (first.exit_code, report(first)) == (0, numbers(recounted_sessions=7, changed_messages=15))
    assert counters(database_url) == {"words@2"}
    assert inconsistent(database_url) == []
    assert report(invoke(database_url, "--token-counter", "words", "--json")) == numbers()
    everything = invoke(database_url, "--token-counter", "words", "--all", "--json")
    assert report(everything) == numbers(recounted_sessions=7)


@pytest.mark.usefixtures("service")
def test_it_says_what_it_did(database_url: str) -> None:
    """The report is one line of text, and without a terminal there is no progress bar."""
    result = invoke(database_url, "--token-counter", "words")
    assert result.output == "7 of 7 sessions recounted: 15 token counts changed\n"
    assert invoke(database_url).output == "7 of 7 sessions recounted: 15 token counts changed\n"


async def test_sessions_that_stay_mixed(service: Service, database_url: str) -> None:
    """Sessions that stay mixed are reported, and the exit code is 1."""
    await append(service, says("poison"), session_id=SESSIONS[3])
    result = await asyncio.to_thread(invoke, database_url, "--token-counter", "failing")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "1 stay mixed: the counter failed at some of their messages"
    assert await counter_of(service, SESSIONS[3]) == "mixed"
    again = await asyncio.to_thread(invoke, database_url, "--token-counter", "failing", "--json")
    assert report(again) == numbers(recounted_sessions=1, mixed_sessions=1)


@pytest.mark.usefixtures("service")
def test_a_session_in_use_is_left_out(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked session is left out after some attempts, the others are done, and the exit code is 1."""
    monkeypatch.setitem(connect.SETTINGS, "lock_timeout", "100")  # a short wait, so that the test is quick
    with psycopg.connect(database_url) as connection:
        connection.execute("select from sessions where session_id = 's3' for update")
        result = invoke(database_url, "--token-counter", "words", "--json")
    assert (result.exit_code, report(result)) == (
        1,
        numbers(recounted_sessions=6, changed_messages=13, busy_sessions=1),
    )
    assert report(invoke(database_url, "--token-counter", "words", "--json"))["recounted_sessions"] == 1


@pytest.mark.usefixtures("service")
def test_it_goes_on_where_it_stopped(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the database goes away, finished sessions stay recounted, and a further run does the rest."""
    by_key, left = TokenRecounts.by_key, [None] * 4

    async def failing(recounts: TokenRecounts, key: Any) -> Recounted | None:
        if not left:
            raise database_unavailable()
        left.pop()
        return await by_key(recounts, key)

    with monkeypatch.context() as patch:
        patch.setattr(TokenRecounts, "by_key", failing)
        result = invoke(database_url, "--token-counter", "words", "--json")
    assert result.exit_code == 1
    assert report(result) == numbers(
        sessions=5,
        recounted_sessions=4,
        changed_messages=report(result)["changed_messages"],
        finished=False,
    )
    assert result.stderr.endswith(
        "the database is not available; then run the same command again: it goes on where it stopped\n"
    )
    rest = report(invoke(database_url, "--token-counter", "words", "--json"))
    assert (rest["sessions"], rest["recounted_sessions"]) == (7, 3)


def test_another_conflict_is_tried_again(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction conflict is retried."""
    assert service
    by_key, refusals = TokenRecounts.by_key, [None] * 2

    async def refused(recounts: TokenRecounts, key: Any) -> Recounted | None:
        if refusals:
            refusals.pop()
            raise UnavailableError("in the way", reason="TRANSACTION_CONFLICT")
        return await by_key(recounts, key)

    monkeypatch.setattr(TokenRecounts, "by_key", refused)
    result = invoke(database_url, "--token-counter", "words", "--json")
    assert (result.exit_code, report(result)["recounted_sessions"]) == (0, 7)


async def test_copies_made_meanwhile(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork that is made during the run is recounted, even if its key comes before the present one."""
    by_key, made = TokenRecounts.by_key, ["s2"]
    lowest = sorted(map(str, range(10_000)), key=lambda name: session_key(DEFAULT_TENANT, name))[2::-1]

    async def copied(recounts: TokenRecounts, key: Any) -> Recounted | None:
        if lowest and key.session_key.replace("-", "") == session_key(DEFAULT_TENANT, made[-1]):
            fork = pb.ForkSessionRequest(session_id=made[-1], new_session_id=lowest[0])
            with connect_thread(service.address) as channel:
                pb_grpc.SessionHistoryServiceStub(channel).ForkSession(fork)
            made.append(lowest.pop(0))
        return await by_key(recounts, key)

    monkeypatch.setattr(TokenRecounts, "by_key", copied)
    result = await asyncio.to_thread(invoke, database_url, "--token-counter", "words", "--json")
    assert not lowest
    assert report(result) == numbers(sessions=10, recounted_sessions=10, changed_messages=18)
    assert counters(database_url) == {"words@2"}


@pytest.mark.usefixtures("service")
def test_an_interrupted_run_says_so(packages: Path, database_url: str) -> None:
    """Ctrl-C ends the run with a report of the finished sessions; the same command does the rest."""
    command = [COMMAND, "recount", "--database-url", database_url, "--token-counter", "words", "--json"]
    variables = environment(PYTHONPATH=os.pathsep.join((str(packages), os.environ.get("PYTHONPATH", ""))))
    with psycopg.connect(database_url) as connection:
        connection.execute("select from sessions where session_id = 's3' for update")
        process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        eventually(lambda: execute(database_url, _WAITING))
        process.send_signal(signal.SIGINT)
        connection.rollback()
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["finished"] is False
    assert stderr == "Error: interrupted: run the same command again: it goes on where it stopped\n"
    assert invoke(database_url, "--token-counter", "words").exit_code == 0
    assert counters(database_url) == {"words@2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --database-url or SESSION_HISTORY_DATABASE_URL"),
        (["--database-url", "postgresql://h:x/d"], "is no valid libpq URL"),
        (["--database-url", "postgresql://127.0.0.1:1/d"], "cannot use the database: "),
        (
            ["--database-url", "postgresql://127.0.0.1:1/d", "--token-counter", "none"],
            "no counter is called 'none'",
        ),
    ],
)
def test_what_it_cannot_do(arguments: list[str], said: str) -> None:
    """One line names the reason of a failure."""
    done = run("recount", *arguments)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_database_without_a_schema(empty_database_url: str) -> None:
    """Without a schema the error names the command to run."""
    result = invoke(empty_database_url)
    assert result.exit_code == 1
    assert "run `session-history migrate`" in result.stderr


async def test_what_fails_is_said_without_its_text(
    service: Service, packages: Path, database_url: str
) -> None:
    """A failure is logged with the counter, the kind of error and its place, and without text."""
    await append(service, says("poison in the cup"), session_id=SESSIONS[3])
    path = os.pathsep.join((str(packages), os.environ.get("PYTHONPATH", "")))
    arguments = ("--database-url", database_url, "--token-counter", "failing")
    done = await asyncio.to_thread(run, "recount", *arguments, variables={"PYTHONPATH": path})
    assert done.returncode == 1
    assert "token counter failed" in done.stderr
    assert "ValueError" in done.stderr
    assert "cup" not in done.stderr + done.stdout
