"""Which limits and options a window has: the request's, else the session's, the model's, the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import history_pb2 as hpb
from support.reference_window import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory.v1 import session_pb2 as spb


class Defaults:
    """The server's values by their names in ``HistorySettings``, and those for the sessions of a model."""

    def __init__(self, values: Mapping[str, Any], of_models: Mapping[str, Mapping[str, int]]) -> None:
        self._values = values
        self._of_models = of_models

    def settled(self, shown: spb.Session, asked: pb.GetHistoryRequest | hpb.HistoryOptions) -> Limits:
        """Return the limits and options that hold for a window of a session."""
        of_model = {name: by[shown.model] for name, by in self._of_models.items() if shown.model in by}
        said = {**self._values, **of_model, **_set(shown.history_settings), **_set(asked)}
        return Limits(
            said["max_messages"],
            said["token_budget"],
            said.get("before_sequence"),
            said.get("include_pinned", True),
            said.get("max_turns"),
            said.get("step_tokens", 0),
            said.get("step_messages", 0),
            said.get("unanswered_calls") == hpb.UNANSWERED_CALLS_OMIT,
            said.get("whole_responses", False),
        )


def _set(message: Any) -> dict[str, Any]:
    """Return the fields that are set, also those that are set to zero."""
    return {field.name: value for field, value in message.ListFields()}
