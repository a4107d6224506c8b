"""The commands of the README and of docs/ run, and print the output that the pages show."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import mypy.api
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sessionhistory_server import embedded
from support.processes import Server, environment, run
from support.proxy import free_port
from support.readme import Block, all_blocks, blocks, code, differences, page, table
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCKS = all_blocks()
_PATIENCE_SECONDS = 60
_INSTALL_SECONDS = 240

_COMMANDS, _PROGRAM, _SAMPLES = "sh", "python", {"json", "text"}
_FILES = "toml"  # tests/cli/test_cli_tls.py reads the file of contexts that a page shows
_EXCERPTS = {"go": "*.go", "java": "*.java", "rust": "*.rs", "ts": "*.ts"}
_PAGES_OF_FORMATS = ("client-ts/README.md", "client-go/README.md")
_STATEMENTS = "sql"  # tests/pooler compares this with the statements that `migrate` runs

# Blocks that are not run beside a running server, by their first line, and the reason or the replacement.
_OWN_POSTGRES = "pip install '.[server]'"
_WITH_KEY_AND_TLS = "test_a_key_and_tls runs it"
_ELSEWHERE = {
    "make serve": "test_make_serve runs it in a copy of the repository",
    "make test": "is what runs this",
    ". .venv/bin/activate": "this shell has it on its path",
    _OWN_POSTGRES: "test_make_serve runs it where nothing but the service is installed",
    "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4": "`make tools` does it, at this version",
    "pip install .": "test_client_wheel installs the client alone",
    "export SESSION_HISTORY_POOLER=transaction": "takes a PgBouncer, which tests/pooler has",
    "session-history sessions --server history.example.com:443 --tls --api-key-file history.key": (
        "tests/cli/test_cli_contexts.py does it"
    ),
    "session-history sessions --context staging": "tests/cli/test_cli_contexts.py does it",
    "from sessionhistory import SessionHistoryClient, tls_credentials": (
        "tests/client/test_client_tls.py makes the files"
    ),
    "session-history serve --listen 0.0.0.0:50051 --auth keys --tls-cert server.pem --tls-key server.key": (
        "tests/e2e/test_tls.py makes the files"
    ),
    "session-history serve --auth jwt --jwt-issuer https://id.example.com/ \\": (
        "tests/rpc/test_json_web_tokens.py has an issuer"
    ),
    "umask 077": _WITH_KEY_AND_TLS,
    "export SESSION_HISTORY_SERVER=localhost:50051 SESSION_HISTORY_CA=server.pem"
    " SESSION_HISTORY_API_KEY_FILE=my.key": _WITH_KEY_AND_TLS,
    "from pathlib import Path": _WITH_KEY_AND_TLS,
    "grpcurl -cacert server.pem -expand-headers -H 'authorization: Bearer ${ADMIN_KEY}' \\": (
        "tests/rpc/test_api_keys.py and test_refused_tokens.py make the calls"
    ),
    "export SESSION_HISTORY_API_KEY=$(cat my.key)": _WITH_KEY_AND_TLS,
    "docker compose up": "takes a daemon and the ports; `make check` judges compose.yaml",
}

# The pages that manage keys name a server that asks for them. The others name one that does not.
_KEY_COMMANDS = "session-history keys create"

_PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")


class _Shell:
    """Runs commands as in a terminal that was just opened."""

    def __init__(
        self, folder: Path, ports: dict[str, int], path: str, *, of_keys: dict[str, str], **variables: str
    ) -> None:
        home = folder / "home"
        home.mkdir()
        self._folder = folder
        self._ports = ports
        self._of_keys = of_keys
        self._environment = environment(HOME=str(home), PATH=path, **variables)

    def run(self, block: Block) -> str:
        """Run a block's commands, or its program; return the output."""
        text = self._local(block.text)
        variables = self._of_keys if _KEY_COMMANDS in block.text else {}
        if block.kind == _PROGRAM:
            (self._folder / "first.py").write_text(text)
            command = [sys.executable, *(_PYTEST if "\ndef test_" in text else ()), "first.py"]
        else:
            command = ["sh", "-eu", "-c", text]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == block.exit_code, f"{block.place}:\n{block.text}\n{done.stdout}"
        return done.stdout

    def _local(self, text: str) -> str:
        for address, port in self._ports.items():
            text = text.replace(address, f"127.0.0.1:{port}")
        return text


def _first_line(block: Block) -> str:
    return block.text.partition("\n")[0]


def test_every_block_is_of_a_known_kind() -> None:
    """Each kind of block is in the test's tables, which say whether it is run."""
    assert {block.kind for block in _BLOCKS} <= {
        *(_COMMANDS, _PROGRAM, _FILES, _STATEMENTS),
        *_SAMPLES,
        *_EXCERPTS,
    }


@pytest.mark.parametrize("kind", _EXCERPTS)
def test_excerpts_are_of_programs_that_run(kind: str) -> None:
    """Each excerpt in another language is part of an example or of a client's test, which tests run."""
    folders = (ROOT / "examples", ROOT / "client-ts" / "test", ROOT / "client-go" / "formats")
    sources = [_lines(path.read_text()) for folder in folders for path in folder.rglob(_EXCERPTS[kind])]
    others = [block for name in _PAGES_OF_FORMATS for block in blocks(page(name), name)]
    excerpts = [block for block in (*_BLOCKS, *others) if block.kind == kind]
    assert excerpts
    for block in excerpts:
        assert any(_lines(block.text) in source for source in sources), block.place


def _lines(text: str) -> str:
    """Return a text without its indentation, with a newline before and after each line."""
    return "\n" + "".join(f"{line.strip()}\n" for line in text.splitlines())


def test_what_is_run_elsewhere_is_there() -> None:
    """Each exception is in a page, its make target in the Makefile, and grpcurl's version matches."""
    makefile = (ROOT / "Makefile").read_text()
    assert set(_ELSEWHERE) <= {_first_line(block) for block in _BLOCKS}
    for first_line in _ELSEWHERE:
        if first_line.startswith("make "):
            assert re.search(rf"^{first_line.removeprefix('make ')}:.*##", makefile, re.MULTILINE)
    (grpcurl,) = (line for line in _ELSEWHERE if "grpcurl@" in line)
    assert f"GRPCURL_VERSION := {grpcurl.partition('@v')[2]}\n" in makefile


def test_every_command_runs(tmp_path: Path) -> None:
    """Each command runs in order on one server, ends as it should and prints the sample that follows it."""
    path = search_path(Path(sys.executable).parent, embedded.binaries())
    require("grpcurl", "curl", "jq", path=path)
    ports = {"127.0.0.1:50051": free_port(), "127.0.0.1:9464": free_port()}
    listen, metrics = (f"127.0.0.1:{port}" for port in ports.values())
    server = Server("--data-dir", tmp_path / "data", "--listen", listen, "--metrics-listen", metrics)
    with ExitStack() as stack:
        stack.callback(server.clean)
        server.stub()
        match = re.search(r"psql '([^']+)'", server.log)
        assert match
        variables = {"SESSION_HISTORY_DATABASE_URL": match[1], "SESSION_HISTORY_SERVER": listen}
        guarded = stack.enter_context(_guarded(match[1]))
        shell = _Shell(tmp_path, ports, path, of_keys=guarded, **variables, **_pg_variables(match[1]))
        outputs = _run_all(shell)
        _require_of_use(make_conninfo(match[1], user="history", dbname="history_restored"))
    names = [
        name.partition("{")[0]
        for row in table(page("docs/operations.md"), "Monitoring")
        for name in code(row[0])[:1]
    ]
    assert names
    for name in names:
        assert f"# HELP {name.removesuffix('_total')}" in outputs, name


@contextmanager
def _guarded(url: str) -> Iterator[dict[str, str]]:
    """Yield the variables that name a server that asks for keys, and a key of it with the scope admin."""
    made = run("keys", "create", "--scope", "admin", "--database-url", url)
    server = Server("--database-url", url, "--auth", "keys", "--workers", "1")
    try:
        yield {"SESSION_HISTORY_SERVER": server.address(), "SESSION_HISTORY_API_KEY": made.stdout.strip()}
    finally:
        server.clean()


def _require_of_use(restored: str) -> None:
    """Require that the restored database can be served from, with the role that was made for it."""
    report = run("check", "--database-url", restored, "--json")
    assert json.loads(report.stdout)["ready"], report.stdout


def test_the_programs_are_typed(tmp_path: Path) -> None:
    """A strict type checker accepts all programs of the pages."""
    programs = []
    for block in _BLOCKS:
        if block.kind == _PROGRAM:
            programs.append(tmp_path / f"block_{len(programs)}.py")
            programs[-1].write_text(block.text)
    assert programs
    output, errors, code = mypy.api.run(["--strict", "--config-file=", *map(str, programs)])
    assert code == 0, output + errors


def _pg_variables(url: str) -> dict[str, str]:
    """Return the variables that lead psql and createdb to a server, as an operator sets them."""
    parameters = conninfo_to_dict(url)
    return {
        f"PG{name.upper()}": str(parameters[name]) for name in ("host", "port", "user") if name in parameters
    }


def _run_all(shell: _Shell) -> str:
    output, outputs = "", []
    for block in _BLOCKS:
        if block.kind in _SAMPLES:
            assert differences(block.text, block.kind, output) == [], block.place
        elif block.kind not in {*_EXCERPTS, _FILES, _STATEMENTS} and _first_line(block) not in _ELSEWHERE:
            output = shell.run(block)
            outputs.append(output)
    return "".join(outputs)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A clone of the repository in a folder whose path has awkward characters."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    target = tmp_path / "a clone"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def test_make_serve(copy: Path, tmp_path: Path, empty_database_url: str) -> None:
    """In a fresh clone `make serve` installs and serves until Ctrl-C; then the installed command does."""
    (tmp_path / "home").mkdir()
    common = {
        "HOME": str(tmp_path / "home"),
        "SESSION_HISTORY_DATA_DIR": str(copy / "data"),
        "SESSION_HISTORY_LISTEN": "127.0.0.1:0",
        "SESSION_HISTORY_METRICS_LISTEN": "off",
        "MAKEFLAGS": "",  # those of the `make test` that runs this
        "MAKELEVEL": "0",
    }
    made = Server(command=["make", "serve"], cwd=copy, **common)
    try:
        made.wait_for("database: ready", patience_seconds=_INSTALL_SECONDS)
        assert "Installing the service and Postgres into .venv" in made.log
        made.signal(signal.SIGINT)
        made.wait()
    finally:
        made.clean()
    assert _processes(copy) == []
    assert "stopped" in made.log

    (block,) = (block for block in _BLOCKS if _first_line(block) == _OWN_POSTGRES)
    script = re.sub(r"postgresql://\S+", _url(empty_database_url), block.text)
    assert script.endswith("session-history serve")
    path = f"{copy / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = Server(command=["sh", "-eu", "-c", script], cwd=copy, PATH=path, **common)
    try:
        own.wait_for("database: ready", patience_seconds=_INSTALL_SECONDS)
        assert re.search(r"^ready +yes$", own.log, re.MULTILINE)
        own.signal(signal.SIGINT)
        own.wait()
    finally:
        own.clean()
    assert _processes(copy) == []


def test_a_key_and_tls(tmp_path: Path) -> None:
    """The server with a key and TLS starts, and the command, the Python client and grpcurl call it."""
    path = search_path(Path(sys.executable).parent, embedded.binaries())
    require("openssl", "grpcurl", path=path)
    made, *calls = (block for block in _BLOCKS if _ELSEWHERE.get(_first_line(block)) == _WITH_KEY_AND_TLS)
    listen = f"127.0.0.1:{free_port()}"
    common = {"PATH": path, "SESSION_HISTORY_LISTEN": listen, "SESSION_HISTORY_METRICS_LISTEN": "off"}
    server = Server(command=["sh", "-euc", made.text], cwd=tmp_path, HOME=str(tmp_path), **common)
    try:
        server.wait_for("database: ready", patience_seconds=_INSTALL_SECONDS)
        for call in calls:
            text = call.text.replace("localhost:50051", f"localhost:{server.address().rpartition(':')[2]}")
            command = [sys.executable, "-c", text] if call.kind == _PROGRAM else ["sh", "-euc", text]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=environment(PATH=path),
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{call.place}: {done.stderr}"
    finally:
        server.clean()
    assert len(calls) == 3, "one of the command, one of Python, one of grpcurl"


def _url(conninfo: str) -> str:
    """Write a database's address as a URL."""
    parameters = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(conninfo).items()}
    host, database = parameters.pop("host"), parameters.pop("dbname")
    return f"postgresql://{host}/{database}?" + "\\&".join(f"{k}={v}" for k, v in parameters.items())


def _processes(folder: Path) -> list[str]:
    """Return the commands of the processes that run from a folder or work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            links = [(entry / name).resolve() for name in ("cwd", "exe")]
            if any(link.is_relative_to(folder) for link in links):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found
