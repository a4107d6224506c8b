"""The RPCs of CredentialsService, which manage the API keys of a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server import call_context
from sessionhistory_server.model.caller import ADMIN
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.convert import api_key as convert
from sessionhistory_server.rpc.convert.filters import page_size
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import api_key as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.api_keys import ApiKeys


class ApiKeysServicer:
    """The servicer of the RPCs on API keys."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    @rpc(ADMIN, rules.check_create, act=lambda _: trail.KEY_CREATION)
    async def CreateApiKey(
        self, caller: Caller, request: pb.CreateApiKeyRequest, response: pb.CreateApiKeyResponse
    ) -> None:
        """Create a key."""
        key, response.secret = await self._api_keys.create(caller, convert.api_key_fields(request.api_key))
        _note(key.api_key_id)
        convert.show_api_key(key, response.api_key)

    @rpc(ADMIN, rules.check_list)
    async def ListApiKeys(
        self, caller: Caller, request: pb.ListApiKeysRequest, response: pb.ListApiKeysResponse
    ) -> None:
        """Return a page of keys."""
        found, response.next_page_token = await self._api_keys.find(
            caller,
            show_revoked=request.show_revoked,
            page_size=page_size(request.page_size),
            page_token=request.page_token,
        )
        for key in found:
            convert.show_api_key(key, response.api_keys.add())

    @rpc(ADMIN, rules.check_rotate, act=lambda _: trail.KEY_ROTATION)
    async def RotateApiKey(
        self, caller: Caller, request: pb.RotateApiKeyRequest, response: pb.RotateApiKeyResponse
    ) -> None:
        """Give a key another secret."""
        _note(request.api_key_id)
        key, response.secret = await self._api_keys.rotate(
            caller,
            request.api_key_id,
            overlap=convert.overlap(request),
            expire_time=convert.expire_time(request),
        )
        convert.show_api_key(key, response.api_key)

    @rpc(ADMIN, rules.check_revoke, act=lambda _: trail.KEY_REVOCATION)
    async def RevokeApiKey(
        self, caller: Caller, request: pb.RevokeApiKeyRequest, response: pb.RevokeApiKeyResponse
    ) -> None:
        """Revoke a key."""
        _note(request.api_key_id)
        convert.show_api_key(await self._api_keys.revoke(caller, request.api_key_id), response.api_key)


def _note(api_key_id: str) -> None:
    """Let the trail show the key that the current call changes."""
    call = call_context.current()
    call.subject = call.subject._replace(api_key_id=api_key_id)
