"""Contexts of the command: their keys, and the list of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sessionhistory_cli.contexts import Context, read_context
from support.certificates import Authority
from support.keys import make_key
from support.readme import blocks, page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.service import Service

    Command = Callable[..., Awaitable[Result]]
    Contexts = Callable[..., Path]
    Serve = Callable[..., Awaitable[Service]]

_SESSIONS = ("sessions", "--limit", "1", "--timeout-seconds", "5")
_NONE = "no such sessions\n"
_WRONG = "shk_zq-s3cr3t-zq"


@pytest_asyncio.fixture
async def guarded(serve: Serve, database_url: str) -> Service:
    """A server that asks for keys."""
    return await serve(database_url, auth=("keys",))


def _error(result: Result, code: int = 1) -> str:
    assert (result.exit_code, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert "s3cr3t" not in line
    return line.removeprefix("Error: ")


def test_the_contexts_of_the_page(contexts: Contexts) -> None:
    """The file that the page shows is valid."""
    (text,) = (block.text for block in blocks(page("docs/command-line.md")) if block.kind == "toml")
    folder = contexts(text).parent
    assert read_context("production") == Context(
        name="production", target="history.example.com:443", tls=True, api_key="shk_…"
    )
    ca, cert, key = (folder / name for name in ("ca.pem", "me.pem", "me.key"))
    assert read_context("staging") == Context(
        name="staging",
        target="history.internal:50051",
        ca=ca,
        cert=cert,
        key=key,
        api_key_file=folder / "staging.key",
    )


@pytest.mark.parametrize("name", ["text", "file"])
async def test_the_key_of_a_context(
    command: Command, contexts: Contexts, guarded: Service, name: str
) -> None:
    """A context has its key, or the name of a file with it; the variables of keys do not count."""
    _, secret = await make_key(guarded)
    place = {"text": f'api_key = "{secret}"', "file": 'api_key_file = "the.key"'}[name]
    folder = contexts(f'[c]\nserver = "{guarded.address}"\n{place}\n').parent
    (folder / "the.key").write_text(f"{secret}\n")
    done = await command(*_SESSIONS, "--context", "c", SESSION_HISTORY_API_KEY=_WRONG)
    assert done.stderr == _NONE
    assert "refuses the credential" in _error(
        await command(*_SESSIONS, "--context", "c", "--api-key", _WRONG)
    )


async def test_a_context_gets_no_key_of_another_server(
    command: Command, contexts: Contexts, guarded: Service
) -> None:
    """A context without a key sends none, and a server that is typed gets none of a context."""
    _, secret = await make_key(guarded)
    contexts(f'[bare]\nserver = "{guarded.address}"\n[full]\nserver = "x:1"\napi_key = "{secret}"\n')
    result = await command(*_SESSIONS, "--context", "bare", SESSION_HISTORY_API_KEY=secret)
    assert _error(result) == f"{guarded.address} needs a key: name it as api_key in the context bare"
    result = await command(*_SESSIONS, "--server", guarded.address, SESSION_HISTORY_CONTEXT="full")
    assert _error(result).endswith("needs a key: name it in SESSION_HISTORY_API_KEY, or with --api-key")


async def test_a_key_in_a_file(command: Command, serve: Serve, database_url: str, tmp_path: Path) -> None:
    """With TLS and a file of the key, by options or by variables. A typed option replaces a variable."""
    authority, file = Authority(tmp_path / "authority"), tmp_path / "the.key"
    pair = authority.issue("server")
    service = await serve(database_url, auth=("keys",), credentials=authority.credentials(), **pair.settings)
    _, secret = await make_key(service)
    file.write_text(f"{secret}\n")
    where = ("--server", service.address, "--ca", authority.ca)
    assert (await command(*_SESSIONS, *where, "--api-key-file", file)).stderr == _NONE
    assert (await command(*_SESSIONS, *where, SESSION_HISTORY_API_KEY_FILE=str(file))).stderr == _NONE
    typed = await command(*_SESSIONS, *where, "--api-key-file", file, SESSION_HISTORY_API_KEY=_WRONG)
    assert typed.stderr == _NONE


async def test_keys_that_cannot_be_used(command: Command, contexts: Contexts, tmp_path: Path) -> None:
    """The error names the place and the remedy, and quotes no key."""
    nowhere, empty, two = tmp_path / "nowhere", tmp_path / "empty", tmp_path / "two"
    empty.write_text("\n")
    two.write_text(f"{_WRONG}\n{_WRONG}\n")
    for file, said in {
        nowhere: f"the key cannot be read from {nowhere}: No such file or directory",
        empty: f"{empty} must have a key and nothing else, in ASCII and without spaces",
        two: f"{two} must have a key and nothing else, in ASCII and without spaces",
    }.items():
        assert _error(await command(*_SESSIONS, "--api-key-file", file), 2) == said
    both = await command(*_SESSIONS, "--api-key", _WRONG, "--api-key-file", empty)
    assert _error(both, 2) == "--api-key and --api-key-file exclude each other"
    contexts(
        f'[both]\nserver = "h:1"\napi_key = "{_WRONG}"\napi_key_file = "f"\n'
        f'[number]\nserver = "h:1"\napi_key = 5\n'
        f'[plain]\nserver = "h.example:1"\napi_key = "{_WRONG}"\n'
        f'[allowed]\nserver = "h.invalid:1"\nplaintext_key = true\napi_key = "{_WRONG}"\n'
    )
    said = {
        name: _error(await command(*_SESSIONS, "--context", name), 1 if name == "allowed" else 2)
        for name in ("both", "number", "plain", "allowed")
    }
    assert said["both"] == "the context both: api_key and api_key_file exclude each other"
    assert "number: api_key is unknown or of another type" in said["number"]
    assert said["plain"].startswith("the key for the context plain: it would be sent in plain text")
    assert said["allowed"].startswith(("no server answers at", "no answer from"))


async def test_the_list(command: Command, contexts: Contexts) -> None:
    """The list shows where calls go, and which context is current, but no key."""
    file = contexts("")
    assert (await command("contexts")).stderr == f"no contexts in {file}\n"
    contexts(
        f'[one]\nserver = "h:1"\ntls = true\napi_key = "{_WRONG}"\n'
        '[two]\nserver = "localhost:2"\nca = "ca.pem"\ntls = false\n'
    )
    lines = (await command("contexts", SESSION_HISTORY_CONTEXT="two")).stdout.splitlines()
    assert lines == ["one\th:1\ttls\tkey\t", "two\tlocalhost:2\tplaintext\t\tcurrent"]
    shown = json.loads((await command("contexts", "--json")).stdout)["contexts"]
    assert shown[0] == {
        "name": "one",
        "server": "h:1",
        "tls": True,
        "ca": None,
        "cert": None,
        "key": None,
        "has_api_key": True,
        "current": False,
    }
    assert shown[1]["ca"] == str(file.parent / "ca.pem")
    terminal = (await command("contexts", columns=80)).stdout
    assert "localhost:2" in terminal
    assert "s3cr3t" not in terminal


def test_the_key_of_a_context_is_in_no_repr() -> None:
    """A traceback may show the object."""
    assert "s3cr3t" not in repr(Context(name="c", target="h:1", api_key=_WRONG))


async def test_a_list_that_cannot_be_read(command: Command, contexts: Contexts) -> None:
    """The error names the file and the remedy, as for a call."""
    file = contexts("", mode=0o644)
    said = f"other users may read or change {file}: run chmod 600 '{file}'"
    assert _error(await command("contexts"), 2) == said
