"""Convert API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server.model.api_key import ApiKeyFields
from sessionhistory_server.rpc.convert.fields import enum_names
from sessionhistory_server.rpc.convert.times import micros, timestamp

if TYPE_CHECKING:
    from sessionhistory_server.model.api_key import ApiKey

_SCOPES: Final[dict[int, str]] = {
    number: name.lower() for number, name in enum_names(pb.Scope, "SCOPE_").items()
}
_NUMBERS: Final = {name: cast("pb.Scope", number) for number, name in _SCOPES.items()}
_TIMES: Final = (
    "create_time",
    "expire_time",
    "revoke_time",
    "last_use_time",
    "previous_secret_expire_time",
)


def api_key_fields(fields: pb.ApiKeyFields) -> ApiKeyFields:
    """Return the fields of a key that a caller sets."""
    return ApiKeyFields(
        display_name=fields.display_name,
        scopes=tuple(sorted({_SCOPES[scope] for scope in fields.scopes})),
        user_id=fields.user_id or None,
        application_id=fields.application_id or None,
        require_user_id=fields.require_user_id,
        expire_time=expire_time(fields),
    )


def expire_time(message: pb.ApiKeyFields | pb.RotateApiKeyRequest) -> int | None:
    """Return when a key expires; ``None`` if the message does not say so."""
    return micros(message.expire_time) if message.HasField("expire_time") else None


def overlap(request: pb.RotateApiKeyRequest) -> timedelta:
    """Return how long the previous secret is accepted."""
    return timedelta(seconds=request.overlap.seconds, microseconds=request.overlap.nanos // 1_000)


def show_api_key(key: ApiKey, response: pb.ApiKey) -> None:
    """Fill in a key of a response."""
    response.api_key_id = key.api_key_id
    response.display_name = key.display_name
    response.scopes.extend(_NUMBERS[scope] for scope in key.scopes)
    response.user_id = key.user_id or ""
    response.application_id = key.application_id or ""
    response.require_user_id = key.require_user_id
    response.certificate_name = key.certificate_name or ""
    for name in _TIMES:
        if (time := timestamp(getattr(key, name))) is not None:
            getattr(response, name).CopyFrom(time)
