"""The sizes of recorded messages, where the recordings are beside the project."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import SkippedError
from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def sizes_bytes(count: int) -> list[int]:
    """Return sizes that stand for all: in the middles of as many equal parts of the sorted recordings.

    Raises:
        SkippedError: the recordings are not here.
    """
    default = ROOT.parent / "shared" / "data" / "conversations.jsonl.gz"
    path = Path(os.environ.get("SESSION_HISTORY_RECORDINGS") or default)
    if not path.is_file():
        raise SkippedError("the recorded conversations are not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        sizes = sorted(_sizes(map(json.loads, lines)))
    return [sizes[len(sizes) * (2 * part + 1) // (2 * count)] for part in range(count)]


def _sizes(conversations: Iterator[dict[str, Any]]) -> Iterator[int]:
    for conversation in conversations:
        for message in conversation["messages"]:
            calls = message["tool_calls"] or ()
            texts = [message["content"] or "", *(call["arguments"] for call in calls)]
            yield sum(len(text.encode()) for text in texts)
