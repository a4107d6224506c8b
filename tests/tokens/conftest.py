"""A folder of vocabularies, and installed plug-ins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import tiktoken.registry

from sessionhistory_server import tokens
from support.token_plugins import install, vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages."""
    folder = tmp_path_factory.mktemp("packages")
    install(folder)
    return folder


@pytest.fixture
def vocabularies(tmp_path: Path) -> Path:
    """A folder with a downloaded vocabulary."""
    folder = tmp_path / "vocabularies"
    folder.mkdir()
    (folder / "tiny.tiktoken").write_bytes(vocabulary())
    return folder


@pytest.fixture(autouse=True)
def _installed(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the packages; none of them is loaded yet."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.syspath_prepend(packages)
    _forget()
    yield
    _forget()


def _forget() -> None:
    tokens.load.cache_clear()
    tiktoken.registry.ENCODINGS.clear()
    tiktoken.registry.ENCODING_CONSTRUCTORS = None
    tiktoken.registry._available_plugin_modules.cache_clear()  # noqa: SLF001 - it is looked up once in a process
    sys.modules.pop("test_plugin", None)
