"""The image: its packages are those of the lock, and the service in it writes to no file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from image_support import COMPOSE, build_step, copy_sources, instructions, locked, read_only
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging_support import ROOT, Environment, run_online

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.certificates import Authority
from support.processes import PATIENCE_SECONDS, Server
from support.processes import environment as variables
from support.tcp_postgres import tcp_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SERVE = (
    *("--listen", "127.0.0.1:0", "--metrics-listen", "off", "--workers", "2"),
    *("--auth", "keys", "--log-format", "json"),
)

# The rights of the services that the image runs.
_RIGHTS = ("  read_only: true", "  cap_drop: [ALL]", "  security_opt: [no-new-privileges:true]")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment of the image, made by the step of the Dockerfile."""
    folder = tmp_path_factory.mktemp("image")
    (source := folder / "src").mkdir()
    copy_sources(source)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    step = build_step(folder / "dist", folder / "env")
    run_online(["sh", "-euc", step], "the build of the image", cwd=source, env=variables(PATH=path))
    return Environment(folder / "env")


@pytest.fixture
def confined(image: Environment) -> Iterator[Callable[..., tuple[str | Path, ...]]]:
    """Returns a command of the image that can write to no file; skips without the rights to confine it."""
    probe = subprocess.run(read_only("touch", ROOT / "x"), capture_output=True, text=True, check=False)
    if "Read-only file system" not in probe.stderr:
        assert not os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"), probe.stderr
        pytest.skip(f"no file system can be made read-only here: {probe.stderr.strip()}")
    return lambda *arguments: read_only(image.command, *arguments)


def test_the_context_has_the_files_that_are_copied() -> None:
    """Docker ignores files that are not named."""
    context = (ROOT / ".dockerignore").read_text().splitlines()
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    copied = [name for *names, _ in lines for name in names]
    assert copied
    assert [name for name in copied if f"!{name}" not in context] == []


def test_its_user_is_a_number_and_not_root() -> None:
    """An orchestrator can see it."""
    (*_, user) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_compose_takes_all_rights_from_the_image() -> None:
    """Each service of the image has the anchor with these lines, and none has a line that undoes them."""
    anchor, services = COMPOSE.split("services:\n")
    assert [line for line in _RIGHTS if line not in anchor.splitlines()] == []
    assert services.count("<<: *session-history") == 2
    assert not re.search(r"read_only|cap_add|cap_drop|security_opt|privileged|user:", services)


def test_the_lock_has_a_version_for_each_requirement(image: Environment) -> None:
    """The versions are those that ``pyproject.toml`` allows; the environment has no other package."""
    installed = {
        canonicalize_name(found.metadata["Name"]): found.version
        for found in (PathDistribution(path) for path in image.folder.glob("lib/*/site-packages/*.dist-info"))
    }
    del installed["session-history"]
    assert installed == locked()
    wheel = PathDistribution(next(image.folder.glob("lib/*/site-packages/session_history-*.dist-info")))
    for requirement in map(Requirement, wheel.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": "server"}):
            name = canonicalize_name(requirement.name)
            assert name == "session-history" or locked()[name] in requirement.specifier, requirement


def test_it_serves_without_writing_to_a_file(
    confined: Callable[..., tuple[str | Path, ...]], tmp_path: Path
) -> None:
    """Its commands work on a read-only file system, without a right of root; ``serve`` with TLS and keys."""
    places = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("server")
    with tcp_postgres() as postgres:
        at = ("--database-url", postgres.url)
        assert _ended(confined("migrate", *at), places) == 0
        made = _run(confined("keys", "create", "--scope", "write", *at), places)
        server = Server(*at, *pair.flags, command=confined("serve", *_SERVE), **places)
        try:
            message: Any = {"role": 1, "content": "hello"}
            request = pb.AppendMessageRequest(session_id="s", message=message, new_session={})
            append = server.stub(authority.credentials()).AppendMessage
            metadata = (("authorization", f"Bearer {made.stdout.strip()}"),)
            answer = append(request, metadata=metadata, timeout=PATIENCE_SECONDS)
            assert answer.message.sequence == 1
            health = confined("health", "--server", server.address(), "--ca", authority.ca)
            assert _ended(health, places) == 0
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        finally:
            server.clean()
    assert [event for event in server.events if event["level"] not in ("info", "debug")] == []


def _ended(command: tuple[str | Path, ...], places: dict[str, str]) -> int:
    """Run a command, and return its exit code."""
    return _run(command, places).returncode


def _run(command: tuple[str | Path, ...], places: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=variables(**places),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
