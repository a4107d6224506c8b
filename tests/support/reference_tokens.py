"""The reference model's token counts and recounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.reference_window import count_tokens, covered, texts_of

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb

CHARACTERS = "characters"
BYTES = "bytes:3"
"""A plug-in of ``token_plugins``: a third of each text's bytes, rounded up."""


class Recounts:
    """The method that recounts tokens; a part of ``Reference``. ``counter`` is the server's counter."""

    counter = CHARACTERS
    """The name as a server is given it; a session's counter adds a version after "@"."""
    _found: Any

    def _RecountTokens(self, request: pb.RecountTokensRequest) -> pb.RecountTokensResponse:
        kept = self._found(request)
        kept.shown.token_counter = f"{self.counter}@2"
        kept.shown.total_tokens = changed = 0
        for message in kept.messages:
            tokens = count(kept.sent[message.message_id], kept.shown.token_counter)
            changed += tokens != message.token_count
            message.token_count = tokens
            kept.shown.total_tokens += tokens
        for summary in kept.summaries:
            covers = summary.covers
            summary.message.token_count = count(summary.sent, kept.shown.token_counter)
            covers.total_tokens = sum(m.token_count for m in covered(kept.messages, covers.through_sequence))
        return pb.RecountTokensResponse(session=kept.shown, changed_message_count=changed)


def count(sent: mpb.Message, counter: str) -> int:
    """Return a message's tokens by a counter."""
    if counter == f"{CHARACTERS}@2" or sent.HasField("token_count"):
        return count_tokens(sent)
    return sum((len(text.encode()) + 2) // 3 for text in texts_of(sent))
