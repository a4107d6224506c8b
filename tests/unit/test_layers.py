"""The lint contracts notice a forbidden import in every folder and module of the server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from support.tools import ROOT

_SOURCES: Final = ("client", "server", "migrations", "benchmarks")
_SERVER: Final = Path("server/sessionhistory_server")

_DATABASE: Final = ("psycopg", "psycopg_pool", "sqlalchemy", "alembic")
_WIRE: Final = ("grpc", "google.protobuf", "sessionhistory.v1.message_pb2")
_ABOVE_RPC: Final = ("sessionhistory_server.app", "sessionhistory_server.runtime.serving")
_RPC: Final = ("sessionhistory_server.rpc.validation.checks", *_ABOVE_RPC)
_USECASES: Final = ("sessionhistory_server.usecases.paging", *_RPC)
_STORE: Final = ("sessionhistory_server.store.schema", *_USECASES)

# For each folder or module of the server: imports of which none may stand in it.
_FORBIDDEN: Final = {
    "app.py": (*_DATABASE, "sessionhistory_server.runtime.serving"),
    "background": (*_WIRE, *_DATABASE, *_USECASES),
    "call_context.py": (*_WIRE, *_DATABASE, *_STORE),
    "call_order.py": (*_WIRE, *_DATABASE, *_STORE),
    "certificates.py": (*_WIRE, *_DATABASE, *_STORE),
    "config.py": (*_WIRE, *_DATABASE, *_STORE),
    "credentials": (*_WIRE, *_DATABASE, *_STORE),
    "embedded": (*_WIRE, *_STORE),
    "errors.py": (*_WIRE, *_DATABASE, *_STORE),
    "fair_queue.py": (*_WIRE, *_DATABASE, *_STORE),
    "jwt_settings.py": (*_WIRE, *_DATABASE, *_STORE),
    "limits.py": (*_WIRE, *_DATABASE, *_STORE),
    "listening.py": (*_WIRE, *_DATABASE, *_STORE),
    "model": (*_WIRE, *_DATABASE, *_STORE),
    "observability": (*_WIRE, *_DATABASE, *_STORE),
    "rpc": (*_DATABASE, "sessionhistory_server.store.schema", *_ABOVE_RPC),
    "runtime": (*_WIRE, *_DATABASE, "sessionhistory_cli"),
    "store": (*_WIRE, *_USECASES),
    "tokens": (*_WIRE, *_DATABASE, *_STORE),
    "usecases": (*_WIRE, *_DATABASE, *_RPC),
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return a copy of the packages and of their contracts."""
    for name in _SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lint-imports on the packages in a folder."""
    paths = os.pathsep.join(str(folder / name) for name in (*_SOURCES[:-1], "."))
    return subprocess.run(
        (Path(sys.executable).with_name("lint-imports"), "--no-cache"),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_part_of_the_server_is_in_the_table() -> None:
    """A new folder or module names here what it may not import."""
    files = [path.relative_to(ROOT / _SERVER) for path in (ROOT / _SERVER).rglob("*.py")]
    assert {file.parts[0] for file in files} - {"__init__.py"} == set(_FORBIDDEN)


def test_the_packages_keep_the_contracts(sources: Path) -> None:
    """Without a forbidden import nothing is reported."""
    outcome = lint(sources)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("part", _FORBIDDEN)
def test_a_forbidden_import_is_reported(sources: Path, part: str) -> None:
    """Each import is reported, in a file that no contract names by itself."""
    path = sources / _SERVER / part
    module = f"sessionhistory_server.{part.removesuffix('.py')}"
    if path.is_dir():
        path /= "planted.py"
        module += ".planted"
        path.touch()
    lines = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.writelines(f"import {name}\n" for name in _FORBIDDEN[part])
    report = " ".join(lint(sources).stdout.split())
    for number, name in enumerate(_FORBIDDEN[part], start=lines + 1):
        assert f"{module} -> {_shown(name)} (l.{number}" in report, report


def _shown(name: str) -> str:
    """Return the name of a module as the report shows it: packages of others by their first name."""
    return name if name.startswith("sessionhistory") else name.split(".", maxsplit=1)[0]
