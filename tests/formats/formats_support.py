"""Read the shared cases, and convert between the client's messages and those of the contract."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from sessionhistory._codec.history import decode_history
from sessionhistory._codec.message import decode_message, encode_message
from sessionhistory.formats import Unanswered
from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from sessionhistory.types import History, Message

CASES = Path(__file__).parent / "cases"
FORMATS = sorted(folder.name for folder in CASES.glob("*") if any(folder.glob("*.json")))


def module(name: str) -> ModuleType:
    """Return the module of a format."""
    return importlib.import_module(f"sessionhistory.formats.{name}")


def cases(*keys: str) -> list[tuple[str, str]]:
    """Return the format and the name of each case that has all these keys."""
    found = (
        (name, path.stem, json.loads(path.read_text()))
        for name in FORMATS
        for path in sorted((CASES / name).glob("*.json"))
    )
    return [(name, stem) for name, stem, case in found if all(key in case for key in keys)]


def case(name: str, stem: str) -> dict[str, Any]:
    """Return a case."""
    found: dict[str, Any] = json.loads((CASES / name / f"{stem}.json").read_text())
    return found


def messages(shown: Iterable[dict[str, Any]]) -> list[Message]:
    """Return messages from their proto3 JSON."""
    complete = {"status": "MESSAGE_STATUS_COMPLETE"}  # as the server stores it
    return [decode_message(json_format.ParseDict(complete | one, mpb.Message())) for one in shown]


def history(shown: dict[str, Any]) -> History:
    """Return a history from its proto3 JSON."""
    return decode_history(json_format.ParseDict(shown, hpb.History()))


def options(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the options of ``to_request``."""
    named = {"unanswered": Unanswered[shown["unanswered"]]} if "unanswered" in shown else {}
    return shown | named


def without_ids(made: Iterable[Message]) -> list[dict[str, Any]]:
    """Return messages as proto3 JSON, without the ids that the client makes for each message."""
    encoded = (encode_message(replace(message, message_id="x"), "message") for message in made)
    shown = [json_format.MessageToDict(message) for message in encoded]
    for one in shown:
        del one["messageId"]
    return shown
