"""The recorded conversations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "conversations.jsonl.gz"
CONVERSATIONS = 558
MESSAGES = 12_395


def recordings_path() -> Path:
    """Return the folder of the recordings. Without them skip the test, or fail it if they are required."""
    path = Path(os.environ.get("SESSION_HISTORY_RECORDINGS") or RECORDINGS)
    if not path.is_file():
        absent = f"the recorded conversations are not here ({path})"
        if os.environ.get("SESSION_HISTORY_REQUIRE_RECORDINGS") == "1":
            pytest.fail(absent)
        pytest.skip(absent)
    return path
