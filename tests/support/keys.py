"""Make API keys, and call a service with them."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory.v1 import credentials_service_pb2_grpc as credentials_grpc
from sessionhistory_server.model.api_key import ApiKeyFields
from sessionhistory_server.model.caller import ALL_SCOPES, DEFAULT_TENANT
from support.callers import caller
from support.errors import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from support.errors import Failure
    from support.service import Service


class Holder:
    """The methods of a service, called with a key; ``None``: without."""

    def __init__(self, stub: Any, secret: str | None) -> None:
        self._stub = stub
        self._metadata = () if secret is None else (("authorization", f"Bearer {secret}"),)

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._stub, name), metadata=self._metadata)


async def make_key(service: Service, *, tenant: str = DEFAULT_TENANT, **fields: Any) -> tuple[str, str]:
    """Create a key in the service's database, by default with all scopes; return its id and its text."""
    use_case = service.app._use_cases.api_keys  # noqa: SLF001 - the first key cannot be made by a call
    key, secret = await use_case.create(caller()._replace(tenant_id=tenant), _fields(**fields))
    return key.api_key_id, secret


async def register(service: Service, name: str, *, tenant: str = DEFAULT_TENANT, **fields: Any) -> str:
    """Register the name of a certificate in the service's database; return the id of its key."""
    use_case = service.app._use_cases.api_keys  # noqa: SLF001 - no call registers one
    key = await use_case.register_certificate(caller()._replace(tenant_id=tenant), name, _fields(**fields))
    return key.api_key_id


def _fields(**fields: Any) -> ApiKeyFields:
    given: dict[str, Any] = {
        "display_name": "",
        "scopes": tuple(sorted(ALL_SCOPES)),
        "user_id": None,
        "application_id": None,
        "require_user_id": False,
        "expire_time": None,
    }
    return ApiKeyFields(**given | fields)


async def refused(call: Awaitable[Any]) -> Failure:
    """Return the error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return failure_of(caught.value)


def holding(service: Service, secret: str | None) -> Service:
    """Return the service as the holder of a key calls it."""
    held = copy.copy(service)
    held.stub = Holder(service.stub, secret)
    return held


def credentials(service: Service, secret: str | None) -> Any:
    """Return the methods of CredentialsService, called with a key."""
    stub: Any = credentials_grpc.CredentialsServiceStub
    return Holder(stub(service.channel), secret)


async def holder(service: Service, **fields: Any) -> Service:
    """Return the service as the holder of a new key calls it."""
    return holding(service, (await make_key(service, **fields))[1])


async def revoke_key(service: Service, key_id: str) -> None:
    """Revoke a key of the default tenant."""
    _, admin = await make_key(service)
    await credentials(service, admin).RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key_id))
