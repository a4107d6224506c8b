"""Convert messages to the requests of model APIs, and their answers to messages to store.

Each module has the same functions for the API of its name. They are pure, and need no provider's package:

- ``to_request`` returns the part of a request that a conversation fills;
- ``from_request`` and ``from_response`` return messages to store;
- ``StreamReader`` reads the events of a streamed answer, for ``append_message_stream``;
- ``violations`` names the rules of the API that a request breaks, each with its public source.
"""

from __future__ import annotations

from sessionhistory.formats._arrange import Unanswered
from sessionhistory.formats._stream import Finish, Piece
from sessionhistory.formats._violations import Violation

__all__ = ["Finish", "Piece", "Unanswered", "Violation"]
