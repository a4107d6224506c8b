"""All limits of the contract. `docs/limits.md` lists them, and a test compares the two."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_ID_CHARACTERS: Final = 256
"""In a session_id or a message_id."""
ID_CHARACTERS: Final = r"!#-&(-[\]-_a-~"
"""Printable ASCII without space, quotes and backslash: a quoted id and an id in JSON need no escapes."""
MAX_TOOL_CALL_ID_CHARACTERS: Final = 8 * KIB
"""In the id of a tool call or a tool_call_id. Gateways put providers' signatures into these ids."""

MAX_USER_ID_CHARACTERS: Final = 256
MAX_APPLICATION_ID_CHARACTERS: Final = 256
MAX_TITLE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 256
"""In a name, model, provider, finish_reason, payload_type, media type, or the name of a tool call."""
MAX_TURN_ID_CHARACTERS: Final = 128
MAX_URI_CHARACTERS: Final = 8 * KIB
MAX_TITLE_FILTER_CHARACTERS: Final = 200
MAX_FILTER_VALUES: Final = 16
"""Statuses in a list of sessions, and roles in a list of messages."""
MAX_MASK_PATHS: Final = 32

MAX_LABELS: Final = 64
LABEL_KEY_CHARACTERS: Final = "A-Za-z0-9._:@/-"
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
MAX_STREAM_CALLS: Final = 256
"""Calls in one message of a CallStream, and calls in progress on a stream above which it reads no more."""
MAX_STREAM_CALLS_OF_SESSION: Final = 64
"""Calls of one session that are in progress on a CallStream, or wait there for the session's earlier ones."""
MAX_STREAM_BYTES: Final = 8 * MIB
"""Messages with calls in progress on a CallStream, above which it reads no more."""
MAX_REQUEST_BYTES: Final = 4 * MIB
MAX_RESPONSE_BYTES: Final = 3 * MIB + 512 * KIB

MAX_CALLS_OF_CONNECTION: Final = 256
"""Concurrent calls on one connection."""
MAX_CONNECTIONS: Final = 4_096
"""Connections of a worker. It accepts fewer if the system lets it open too few files."""
MAX_WATCHES: Final = 1_024
"""Watches of health of a worker. They need no credential, and last."""
MAX_UNREAD_BYTES: Final = 32 * MIB
"""Unread answers on one connection. Above this limit, its next calls wait before they begin."""

MAX_WINDOW_MESSAGES: Final = 1_000
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1_000

MAX_API_KEYS_OF_TENANT: Final = 10_000
"""Keys of a tenant that are not revoked."""
MAX_API_KEYS: Final = 100_000
"""Keys of all tenants that are not revoked. Each worker holds them in memory."""
MAX_DISPLAY_NAME_CHARACTERS: Final = 200
MAX_CERTIFICATE_NAME_CHARACTERS: Final = 2_048
"""With its kind."""
MAX_CERTIFICATE_NAMES: Final = 100
"""Names of a client's certificate that could be registered."""
MAX_OVERLAP_SECONDS: Final = 30 * 24 * 3600
"""For which a rotated key's previous secret is accepted."""

MAX_REFUSED_TOKENS_OF_TENANT: Final = 10_000
"""Refused tokens of a tenant that have not expired."""
MAX_REFUSED_TOKENS: Final = 100_000
"""Refused tokens of all tenants that have not expired. Each worker holds them in memory."""
MAX_TOKEN_CHARACTERS: Final = 8 * KIB
"""In a JSON Web Token."""
MAX_JWKS_BYTES: Final = 256 * KIB
MAX_JWKS_KEYS: Final = 64
MAX_LEEWAY_SECONDS: Final = 300
"""By which the clocks of the issuer of tokens and of a server may differ."""
MAX_LIMITED_TENANTS: Final = 10_000
"""Tenants that have, or had, limits of their own. Each worker holds these limits in memory."""

MIN_TTL_SECONDS: Final = 1
MAX_TTL_SECONDS: Final = 100 * 365 * 24 * 3600

MAX_INT32: Final = 2**31 - 1
MAX_INT64: Final = 2**63 - 1
