"""The rules of the requests about refused tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.rpc.validation.api_key import check_expiry

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb
    from sessionhistory_server.rpc.validation.checks import Checks


def check_refuse(checks: Checks, request: pb.RefuseTokenRequest) -> None:
    """Check a request to refuse a token."""
    checks.identifier("token_id", request.token_id, required=True)
    if request.HasField("expire_time"):
        check_expiry(checks, "expire_time", request.expire_time)
    else:
        checks.require(None, "expire_time", "is required")


def check_list(checks: Checks, request: pb.ListRefusedTokensRequest) -> None:
    """Check a request for a page of refused tokens."""
    checks.not_negative("page_size", request.page_size)
