"""The index of the decisions (ADRs) is complete, and agrees with their pages."""

from __future__ import annotations

import re
from typing import NamedTuple

from support.tools import ROOT

_FOLDER = ROOT / "docs" / "adr"
_HEAD = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\n- Status: (?P<status>.+)\n- Date: (?P<date>\d{4}-\d\d-\d\d)\n"
)
_ROW = re.compile(
    r"^\| (?P<number>\d+) \| \[(?P<title>.+)\]\((?P<file>[\w.-]+)\) \| (?P<status>.+) \| (?P<date>\S+) \|$",
    re.MULTILINE,
)
_LINK = r"\[\d+\]\([\w.-]+\)"
_LINKS = rf"{_LINK}(, {_LINK})*( and {_LINK})?"
_STATUS = re.compile(rf"accepted(, amended by {_LINKS})?|superseded by {_LINK}")


class _Decision(NamedTuple):
    number: int
    title: str
    file: str
    status: str
    date: str


def _pages() -> list[_Decision]:
    """Return the decisions by their pages, in the order of their numbers."""
    found = []
    for page in sorted(_FOLDER.glob("[0-9]*.md")):
        head = _HEAD.match(page.read_text())
        assert head, f"{page.name} must begin with its title, status and date"
        assert page.name.startswith(f"{int(head['number']):04}-"), page.name
        found.append(_Decision(int(head["number"]), head["title"], page.name, head["status"], head["date"]))
    return found


def test_index_lists_every_decision() -> None:
    """The index has each page once, in order, with the page's title, status and date."""
    index = (_FOLDER / "README.md").read_text()
    rows = [
        _Decision(int(row["number"]), row["title"], row["file"], row["status"], row["date"])
        for row in _ROW.finditer(index)
    ]
    assert rows == _pages()


def test_status_is_one_of_the_known_forms() -> None:
    """A decision is accepted, accepted and amended by later ones, or superseded by a later one."""
    for page in _pages():
        assert _STATUS.fullmatch(page.status), f"{page.file}: {page.status}"


def test_missing_numbers_are_explained() -> None:
    """The index says of each number without a page why there is none."""
    index = (_FOLDER / "README.md").read_text()
    numbers = {page.number for page in _pages()}
    for missing in set(range(1, max(numbers) + 1)) - numbers:
        assert re.search(rf"\b[Nn]umber {missing}\b", index), (
            f"docs/adr/README.md does not mention number {missing}"
        )
