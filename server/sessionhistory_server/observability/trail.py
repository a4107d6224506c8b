"""The trail: one log event for each administrative act, and for each refusal for lack of rights.

An event has ids and names, and no content. Its logger has a level of its own, so that ``--log-level`` filters
no event.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.call_context import Subject

EVENT: Final = "audit"

DELETION: Final = "deletion"
KEY_CREATION: Final = "key_creation"
KEY_REVOCATION: Final = "key_revocation"
KEY_ROTATION: Final = "key_rotation"
LIMIT_CHANGE: Final = "limit_change"
PURGE: Final = "purge"
RECOUNT: Final = "recount"
REFUSAL: Final = "refusal"
RESTORATION: Final = "restoration"
TOKEN_REFUSAL: Final = "token_refusal"  # noqa: S105 - the name of an act
TRUNCATION: Final = "truncation"

_log = logging.getLogger("sessionhistory.audit")
_log.setLevel(logging.INFO)


def write(subject: Subject, code: str) -> None:
    """Write the event of an act. Its request id and method are those of the current call.

    Args:
        subject: The act, and its ids, which must be valid.
        code: The name of the gRPC code with which the act ended.
    """
    fields = {
        "act": subject.act,
        "code": code,
        "tenant": subject.tenant_id,
        "credential": subject.credential_id,
        "session_id": subject.session_id,
    }
    if subject.api_key_id:
        fields["api_key_id"] = subject.api_key_id
    if subject.token_id:
        fields["token_id"] = subject.token_id
    if subject.limits:
        fields["limits"] = subject.limits
    _log.info(EVENT, extra=fields)
