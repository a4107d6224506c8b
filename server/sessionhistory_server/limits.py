"""Every limit of the contract. `docs/limits.md` lists them; a test compares the two."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Identifiers: session_id, message_id. Label keys take the same characters.
MAX_ID_CHARACTERS: Final = 128
ID_CHARACTERS: Final = "A-Za-z0-9._:@/-"

MAX_USER_ID_CHARACTERS: Final = 256
MAX_TITLE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 256
"""Of a name, model, provider, payload_type, tool_call_id; a tool call's id and name; a media type."""
MAX_TURN_ID_CHARACTERS: Final = 128
MAX_URI_CHARACTERS: Final = 8 * KIB
MAX_TITLE_FILTER_CHARACTERS: Final = 200
MAX_FILTER_VALUES: Final = 16
"""Of statuses, and of roles."""
MAX_MASK_PATHS: Final = 32

MAX_LABELS: Final = 64
MAX_LABEL_KEY_CHARACTERS: Final = 63
MAX_LABEL_VALUE_CHARACTERS: Final = 256

MAX_METADATA_BYTES: Final = 64 * KIB
MAX_STATE_BYTES: Final = 256 * KIB
MAX_JSON_DEPTH: Final = 100

MAX_TOOL_CALLS: Final = 128
MAX_PARTS: Final = 256
MAX_PINNED_MESSAGES: Final = 64

MAX_MESSAGE_BYTES: Final = MIB - 1
MAX_BATCH_BYTES: Final = 3 * MIB - 1
MAX_BATCH_MESSAGES: Final = 500
MAX_CALLS: Final = 64
"""Of one MultiCall."""
MAX_REQUEST_BYTES: Final = 4 * MIB
MAX_RESPONSE_BYTES: Final = 3 * MIB + 512 * KIB

MAX_WINDOW_MESSAGES: Final = 1_000
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1_000

MIN_TTL_SECONDS: Final = 1
MAX_TTL_SECONDS: Final = 100 * 365 * 24 * 3600

MAX_INT32: Final = 2**31 - 1
MAX_INT64: Final = 2**63 - 1
