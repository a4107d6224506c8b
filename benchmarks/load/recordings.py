"""Recorded conversations, if there are recordings beside the project."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import SkippedError
from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def conversations() -> list[list[dict[str, Any]]]:
    """Return the messages of each recorded conversation.

    Raises:
        SkippedError: there are no recordings.
    """
    default = ROOT.parent / "shared" / "data" / "conversations.jsonl.gz"
    path = Path(os.environ.get("SESSION_HISTORY_RECORDINGS") or default)
    if not path.is_file():
        raise SkippedError("there are no recorded conversations on this machine")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line in lines]


def sizes_bytes(count: int) -> list[int]:
    """Return ``count`` representative sizes: the medians of ``count`` equal parts of the sorted sizes.

    Raises:
        SkippedError: there are no recordings.
    """
    sizes = sorted(_sizes(conversations()))
    return [sizes[len(sizes) * (2 * part + 1) // (2 * count)] for part in range(count)]


def _sizes(recorded: Iterable[list[dict[str, Any]]]) -> Iterator[int]:
    for messages in recorded:
        for message in messages:
            calls = message["tool_calls"] or ()
            texts = [message["content"] or "", *(call["arguments"] for call in calls)]
            yield sum(len(text.encode()) for text in texts)
