"""API keys, as their managers see them: without secrets."""

from __future__ import annotations

from typing import NamedTuple


class CertificateNameTakenError(Exception):
    """A key of some tenant has the name of the certificate. Operators get this error; callers never do."""


class ApiKeyFields(NamedTuple):
    """The fields of a key that a caller sets."""

    display_name: str
    scopes: tuple[str, ...]
    """Some of ``ALL_SCOPES``, in alphabetical order."""
    user_id: str | None
    application_id: str | None
    require_user_id: bool
    expire_time: int | None
    """A time of the model, in microseconds; ``None``: the key does not expire."""


class ApiKey(NamedTuple):
    """A key with a secret or with the name of a certificate.

    Times are in microseconds; a time that has no value is ``None``.
    """

    api_key_id: str
    display_name: str
    scopes: tuple[str, ...]
    user_id: str | None
    application_id: str | None
    require_user_id: bool
    create_time: int
    expire_time: int | None
    revoke_time: int | None
    last_use_time: int | None
    previous_secret_expire_time: int | None
    certificate_name: str | None
    """In the normal form of ``credentials.certificates``; ``None``: it is a key with a secret."""
