"""The client's methods for API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.api_key import api_key_page, api_key_secret, decode_api_key
from sessionhistory._codec.enums import SCOPES
from sessionhistory._codec.fields import build, encode_list
from sessionhistory._codec.ids import checked_application_id, checked_user_id
from sessionhistory._codec.times import encode_duration, encode_time
from sessionhistory.v1 import credentials_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime, timedelta

    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import ApiKey, ApiKeyPage, ApiKeySecret, Scope


class ApiKeys:
    """The methods that create, list, rotate and revoke the API keys of the caller's tenant."""

    _transport: Transport

    def create_api_key(
        self,
        scopes: Collection[Scope],
        *,
        display_name: str = "",
        user_id: str | None = None,
        application_id: str | None = None,
        require_user_id: bool = False,
        expire_time: datetime | None = None,
        timeout_seconds: float | None = None,
    ) -> ApiKeySecret:
        """Create a key, and return it with its secret, which no later call returns.

        Args:
            scopes: The rights of the key, at least one.
            display_name: A name for people.
            user_id: The user to bind the key to; ``None``: it may act for any user.
            application_id: The application to bind the key to; ``None``: it may use any application.
            require_user_id: Whether each call with the key must name the user that it acts for.
            expire_time: When the key expires; ``None``: never.
            timeout_seconds: How long the call may take. It is not retried, because a retry creates another
                key.
        """
        fields = build(
            pb.ApiKeyFields,
            "api_key",
            display_name=display_name,
            scopes=encode_list(SCOPES.encode, scopes, "api_key.scopes"),
            user_id=checked_user_id(user_id, "api_key.user_id"),
            application_id=checked_application_id(application_id, "api_key.application_id"),
            require_user_id=require_user_id,
            expire_time=encode_time(expire_time, "api_key.expire_time"),
        )
        request = build(pb.CreateApiKeyRequest, api_key=fields)
        response = self._transport.call(
            "CreateApiKey", request, repeatable=False, timeout_seconds=timeout_seconds
        )
        return api_key_secret(response)

    def list_api_keys(
        self, *, show_revoked: bool = False, page_size: int = 0, timeout_seconds: float | None = None
    ) -> Iterator[ApiKey]:
        """Yield keys, the newest first, and fetch them page by page.

        Args:
            show_revoked: Whether to yield revoked keys, too.
            page_size: How many keys to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take, with all its retries.
        """
        token = ""
        while True:
            page = self.list_api_keys_page(
                show_revoked=show_revoked,
                page_size=page_size,
                page_token=token,
                timeout_seconds=timeout_seconds,
            )
            for key in page.api_keys:
                yield key
            token = page.next_page_token
            if not token:
                return

    def list_api_keys_page(
        self,
        *,
        show_revoked: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout_seconds: float | None = None,
    ) -> ApiKeyPage:
        """Return a page of keys. With the same ``show_revoked``, its token leads to the next page."""
        request = build(
            pb.ListApiKeysRequest, show_revoked=show_revoked, page_size=page_size, page_token=page_token
        )
        response = self._transport.call("ListApiKeys", request, timeout_seconds=timeout_seconds)
        return api_key_page(response)

    def rotate_api_key(
        self,
        api_key_id: str,
        *,
        overlap: timedelta | None = None,
        expire_time: datetime | None = None,
        timeout_seconds: float | None = None,
    ) -> ApiKeySecret:
        """Give a key a new secret, and return the key with it.

        Args:
            api_key_id: The key.
            overlap: How long the previous secret is still accepted, at most 30 days; ``None``: not at all.
            expire_time: When the key expires from now on; ``None``: as before.
            timeout_seconds: How long the call may take. It is not retried, because a retry makes another
                secret.
        """
        request = build(
            pb.RotateApiKeyRequest,
            api_key_id=api_key_id,
            overlap=encode_duration(overlap, "overlap"),
            expire_time=encode_time(expire_time, "expire_time"),
        )
        response = self._transport.call(
            "RotateApiKey", request, repeatable=False, timeout_seconds=timeout_seconds
        )
        return api_key_secret(response)

    def revoke_api_key(self, api_key_id: str, *, timeout_seconds: float | None = None) -> ApiKey:
        """Revoke a key, and return it. Within a few seconds every server refuses it.

        Args:
            api_key_id: The key.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(pb.RevokeApiKeyRequest, api_key_id=api_key_id)
        response = self._transport.call("RevokeApiKey", request, timeout_seconds=timeout_seconds)
        return decode_api_key(response.api_key)
