"""Read a markdown file's commands, programs, samples and tables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# The pages whose blocks are run, in order: later pages use data that earlier pages store.
PAGES = (
    "README.md",
    "docs/grpcurl.md",
    "docs/call-streams.md",
    "docs/command-line.md",
    "docs/python.md",
    "docs/testing.md",
    "docs/other-languages.md",
    "docs/operations.md",
    "docs/behaviour.md",
    "docs/prompt-caching.md",
    "docs/openai.md",
    "docs/anthropic.md",
    "docs/langchain.md",
    "docs/gemini.md",
)
_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<kind>\S*)\s*$")
_FAILS = re.compile(r"^<!-- fails: (?P<code>[0-9]+) -->$")
_QUOTED = re.compile(r'"([^"]*)"')
_LEFT_OUT = "..."
_TIME = "_time"


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its line, the exit code that its commands must have, and its page."""

    kind: str
    text: str
    line: int
    exit_code: int = 0
    page: str = ""

    @property
    def place(self) -> str:
        """Its page and line, for the message of a failed test."""
        return f"{self.page}:{self.line}"


def page(name: str) -> str:
    """Return the text of a page of the repository."""
    return (ROOT / name).read_text()


def all_blocks() -> list[Block]:
    """Return the blocks of all pages whose blocks are run."""
    return [block for name in PAGES for block in blocks(page(name), name)]


def blocks(markdown: str, page: str = "") -> list[Block]:
    """Return the fenced blocks in order.

    Raises:
        ValueError: a block is not closed.
    """
    return list(_blocks(enumerate(markdown.splitlines(), start=1), page))


def _blocks(lines: Iterator[tuple[int, str]], page: str) -> Iterator[Block]:
    before = ""
    for number, line in lines:
        if opening := _FENCE.match(line):
            fails = _FAILS.match(before)
            text = _until(opening["fence"], lines, number)
            yield Block(opening["kind"], text, number, int(fails["code"]) if fails else 0, page)
        before = line or before


def _until(fence: str, lines: Iterator[tuple[int, str]], start: int) -> str:
    content = []
    for _, line in lines:
        if line == fence:
            return "\n".join(content)
        content.append(line)
    raise ValueError(f"the block of line {start} does not end")


def table(markdown: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head.

    Raises:
        ValueError: there is no such heading or table.
    """
    _, found, section = markdown.partition(f"\n## {heading}\n")
    rows = re.search(r"(?:^\|.*\|\n)+", section.split("\n## ")[0], re.MULTILINE)
    if not found or not rows:
        raise ValueError(f"no table below {heading!r}")
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def code(cell: str) -> list[str]:
    """Return the code in a cell of a table."""
    return re.findall(r"`([^`]+)`", cell)


def differences(sample: str, kind: str, output: str) -> list[str]:
    """Return the differences between a command's output and the sample of it."""
    if kind == "json":
        return list(_json_differences(json.loads(sample), json.loads(output), "$"))
    return [line for line in sample.splitlines() for part in _said(line) if part not in output]


def _said(line: str) -> list[str]:
    """Return the text of a sample's line, without its layout."""
    quoted = [text for text in _QUOTED.findall(line) if "…" not in text]
    return quoted or [line.strip()]


def _json_differences(sample: Any, output: Any, path: str) -> Iterator[str]:
    if isinstance(sample, dict) and isinstance(output, dict):
        for key in sample.keys() - {_LEFT_OUT}:
            if key not in output:
                yield f"{path}.{key} is missing"
            elif not key.endswith(_TIME):
                yield from _json_differences(sample[key], output[key], f"{path}.{key}")
        if _LEFT_OUT not in sample:
            yield from (f"{path}.{key} is not shown" for key in output.keys() - sample.keys())
    elif isinstance(sample, list) and isinstance(output, list) and len(sample) == len(output):
        for index, pair in enumerate(zip(sample, output, strict=True)):
            yield from _json_differences(*pair, f"{path}[{index}]")
    elif sample != output:
        yield f"{path} is {output!r}, not {sample!r}"
