"""The rules of the requests about API keys."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server import limits

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from sessionhistory_server.rpc.validation.checks import Checks

_ID: Final = re.compile(r"[0-9A-Za-z]{16}")


def check_create(checks: Checks, request: pb.CreateApiKeyRequest) -> None:
    """Check a request to create a key."""
    key = request.api_key
    checks.text("api_key.display_name", key.display_name, limits.MAX_DISPLAY_NAME_CHARACTERS)
    if checks.length("api_key.scopes", key.scopes, limits.MAX_FILTER_VALUES, minimum=1):
        for index, scope in enumerate(key.scopes):
            checks.known(f"api_key.scopes[{index}]", scope, pb.Scope, required=True)
    checks.any_user_id("api_key.user_id", key.user_id)
    checks.application_id("api_key.application_id", key.application_id)
    if key.HasField("expire_time"):
        check_expiry(checks, "api_key.expire_time", key.expire_time)


def check_list(checks: Checks, request: pb.ListApiKeysRequest) -> None:
    """Check a request for a page of keys."""
    checks.not_negative("page_size", request.page_size)


def check_rotate(checks: Checks, request: pb.RotateApiKeyRequest) -> None:
    """Check a request to rotate a key."""
    _check_id(checks, request.api_key_id)
    within = 0 <= request.overlap.seconds + request.overlap.nanos / 1e9 <= limits.MAX_OVERLAP_SECONDS
    checks.require(within, "overlap", f"must be 0 to {limits.MAX_OVERLAP_SECONDS} seconds")
    if request.HasField("expire_time"):
        check_expiry(checks, "expire_time", request.expire_time)


def check_revoke(checks: Checks, request: pb.RevokeApiKeyRequest) -> None:
    """Check a request to revoke a key."""
    _check_id(checks, request.api_key_id)


def _check_id(checks: Checks, value: str) -> None:
    checks.require(_ID.fullmatch(value), "api_key_id", "must be the id of a key: 16 letters and digits")


def check_expiry(checks: Checks, field: str, value: Timestamp) -> None:
    """Check a time at which a credential expires."""
    checks.timestamp(field, value)
    checks.require(value.seconds > time.time(), field, "must be in the future")
