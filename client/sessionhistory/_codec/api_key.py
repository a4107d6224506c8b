"""Convert API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import types
from sessionhistory._codec.enums import SCOPES
from sessionhistory._codec.times import decode_optional_time, decode_time

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb


def decode_api_key(key: pb.ApiKey) -> types.ApiKey:
    """Decode a key."""
    return types.ApiKey(
        api_key_id=key.api_key_id,
        display_name=key.display_name,
        scopes=tuple(map(SCOPES.decode, key.scopes)),
        user_id=key.user_id or None,
        application_id=key.application_id or None,
        require_user_id=key.require_user_id,
        create_time=decode_time(key.create_time),
        expire_time=decode_optional_time(key, "expire_time"),
        revoke_time=decode_optional_time(key, "revoke_time"),
        last_use_time=decode_optional_time(key, "last_use_time"),
        previous_secret_expire_time=decode_optional_time(key, "previous_secret_expire_time"),
        certificate_name=key.certificate_name or None,
    )


def api_key_secret(response: pb.CreateApiKeyResponse | pb.RotateApiKeyResponse) -> types.ApiKeySecret:
    """Return a key with its new secret."""
    return types.ApiKeySecret(api_key=decode_api_key(response.api_key), secret=response.secret)


def api_key_page(response: pb.ListApiKeysResponse) -> types.ApiKeyPage:
    """Return a page of keys, and the token of the next one."""
    return types.ApiKeyPage(
        api_keys=tuple(map(decode_api_key, response.api_keys)), next_page_token=response.next_page_token
    )
