"""Cases of generated windows, to compare the conversions of other languages with Python's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from formats_support import case, cases, module, without_ids
from google.protobuf import json_format
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from windows_support import windows

from sessionhistory._codec.message import encode_message
from sessionhistory.errors import InvalidFieldError
from sessionhistory.formats import Unanswered

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from sessionhistory.types import History, Message

_SETTINGS = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def write_generated_cases(name: str, folder: Path, *, without: re.Pattern[str] | None = None) -> None:
    """Write the cases of a format: windows with the requests that Python makes of them, and the way back.

    Args:
        name: The format.
        folder: The folder of the cases.
        without: Leave out cases in which this occurs, because the language cannot represent it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generated: list[str] = []

    @_SETTINGS
    @given(history=windows(), unanswered=st.sampled_from(Unanswered))
    def collect(history: History, unanswered: Unanswered) -> None:
        try:
            generated.append(json.dumps(_case(name, history, unanswered)))
        except InvalidFieldError:  # a JSON part has a number that JSON lacks, which the client does not send
            reject()

    collect()
    for number, text in enumerate(generated):
        if not (without and without.search(text)):
            (folder / f"generated_{number}.json").write_text(text)


def write_rules(name: str, folder: Path) -> None:
    """Write the cases of the validator with the texts and the sources that Python has."""
    for _, stem in (one for one in cases("violations") if one[0] == name):
        told = case(name, stem)
        found = module(name).violations(told["request"], **told.get("rules", {}))
        told["violations"] = list(map(asdict, found))
        (folder / f"{stem}.json").write_text(json.dumps(told))


def _case(name: str, history: History, unanswered: Unanswered) -> dict[str, Any]:
    request = module(name).to_request(history, unanswered=unanswered)
    return {
        "about": "generated",
        "history": _shown(history),
        "options": {"unanswered": unanswered.name},
        "request": request,
        "back": without_ids(module(name).from_request(request)),
    }


def _shown(history: History) -> dict[str, Any]:
    """Return a history as proto3 JSON: the fields that a request depends on."""
    shown: dict[str, Any] = {"messages": [_shown_message(message) for message in history.messages]}
    if history.summary:
        shown["summary"] = {"throughSequence": str(history.summary.through_sequence)}
    return shown


def _shown_message(message: Message) -> dict[str, Any]:
    encoded = encode_message(message, "message")
    encoded.sequence = message.sequence
    return json_format.MessageToDict(encoded)
