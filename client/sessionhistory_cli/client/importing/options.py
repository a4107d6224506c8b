"""The options of an import that concern every conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionhistory_cli.client.importing.shapes import Format


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of an import."""

    user_id: str | None = None
    """The owner of all conversations; ``None``: the owner that each conversation names."""
    session_id: str = ""
    """The id of a conversation that has none in the file; empty: one made from the content."""
    format: Format | None = None
    """The format of the file; ``None``: the import finds it out."""
    pin_system: bool = False
    """Whether system and developer prompts are pinned."""
