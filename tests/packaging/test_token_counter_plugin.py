"""The documentation's plug-in as it is printed, and tiktoken, with the wheel alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging_support import ROOT

from support.readme import blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packaging_support import Environment

# The counts of a server with such a counter.
COUNT = """
import asyncio, sys
from sessionhistory_server.model.message import MessageContent
from sessionhistory_server.tokens import TokenCounters

contents = [MessageContent("id", "USER", content="Hello, world! 1234")]
counters = TokenCounters(sys.argv[1])
print(asyncio.run(counters.count(contents, counters.name)))
"""


@pytest.fixture(scope="module")
def installed(
    environment: Callable[..., Environment], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with the server, tiktoken, and the plug-in."""
    folder: Path = tmp_path_factory.mktemp("word-counter")
    named = {"toml": "pyproject.toml", "python": "word_counter.py"}
    for block in blocks((ROOT / "docs" / "token-counters.md").read_text()):
        if block.kind in named:
            (folder / named.pop(block.kind)).write_text(block.text)
    assert not named
    return environment("[server,tiktoken]", str(folder))


@pytest.mark.parametrize(("name", "count"), [("words", 5), ("words:[0-9]", 4)])
def test_the_plug_in_counts(installed: Environment, name: str, count: int) -> None:
    """The plug-in is installed by pip, found by its name, and gets its argument."""
    done = installed.run(installed.python, "-W", "error", "-c", COUNT, name)
    assert (done.stderr, done.stdout) == ("", f"TokenCounts(counts=[{count}], counter='{name}@2')\n")


def test_what_it_says_stops_the_start(installed: Environment) -> None:
    """An error of the plug-in ends the start with one line."""
    done = installed.run(installed.command, "serve", "--token-counter", "words:[a-", "--workers", "1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "Error: --token-counter (SESSION_HISTORY_TOKEN_COUNTER) words:[a-:"
        " '[a-' is no regular expression: unterminated character set"
    )


def test_tiktoken_is_an_extra(installed: Environment, environment: Callable[..., Environment]) -> None:
    """With the extra only a vocabulary is missing; without it the error names the extra."""
    arguments = ("serve", "--token-counter", "tiktoken:o200k_base", "--workers", "1")
    with_it = installed.run(installed.command, *arguments).stderr
    assert "download https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken into" in with_it
    without = environment("[server]")
    said = without.run(without.command, *arguments).stderr
    assert said.splitlines()[-1].endswith("tiktoken is missing: install session-history[tiktoken]")
