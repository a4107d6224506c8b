"""The errors of credentials, and of calls that they do not allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import (
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def scope_missing(method: str, scope: str, *, has_credential: bool) -> PermissionDeniedError:
    """Return the error for a caller whose scopes do not allow a method."""
    fact = "which this caller does not have" if has_credential else "which no caller has without a credential"
    text = f"{method} needs the scope {scope!r}, {fact}"
    return PermissionDeniedError(text, reason="SCOPE_MISSING", scope=scope)


def user_mismatch() -> PermissionDeniedError:
    """Return the error for a request that names another user than the one its caller is bound to."""
    return PermissionDeniedError(
        "the request names another user than the caller's credential is bound to", reason="USER_MISMATCH"
    )


def application_mismatch() -> PermissionDeniedError:
    """Return the error for a request that names another application than the caller is bound to."""
    return PermissionDeniedError(
        "the request names another application than the caller's credential is bound to",
        reason="APPLICATION_MISMATCH",
    )


def credentials_missing() -> UnauthenticatedError:
    """Return the error for a call without a credential on a server that asks for one."""
    return UnauthenticatedError(
        "this server needs a credential: send a key or a token as the metadata `authorization: Bearer …`,"
        " or call with a registered certificate, whichever the server accepts",
        reason="CREDENTIALS_MISSING",
    )


def credentials_invalid() -> UnauthenticatedError:
    """Return the error for a credential that is unknown or revoked, or has another secret."""
    return UnauthenticatedError(
        "the credential is unknown or revoked: send a valid one", reason="CREDENTIALS_INVALID"
    )


def credential_of_another_kind() -> UnauthenticatedError:
    """Return the error for a credential of a kind, or a scheme, that the server does not accept."""
    return UnauthenticatedError(
        "this server accepts no credential of this kind: send another one as `authorization: Bearer …`",
        reason="CREDENTIALS_INVALID",
    )


def credentials_expired() -> UnauthenticatedError:
    """Return the error for a credential that has expired."""
    return UnauthenticatedError("the credential has expired: send a new one", reason="CREDENTIALS_EXPIRED")


def token_refused(fact: str) -> UnauthenticatedError:
    """Return the error for a JSON Web Token that breaks a rule. The fact quotes nothing of the token."""
    return UnauthenticatedError(f"the token is refused: {fact}", reason="CREDENTIALS_INVALID")


def token_keys_unavailable() -> UnavailableError:
    """Return the error for a token that may be valid, while the server cannot read its issuer's keys."""
    return UnavailableError(
        "the server cannot read the keys that verify tokens: its log has the reason",
        reason="TOKEN_KEYS_UNAVAILABLE",
    )


def certificate_unknown(names: Sequence[str]) -> UnauthenticatedError:
    """Return the error for a client's certificate with these names, none of which is registered."""
    has = f"it has {', '.join(names[:3])}" if names else "it has no name that could be"
    return UnauthenticatedError(
        f"no name of the client's certificate is registered, or its registration is revoked: {has}",
        reason="CREDENTIALS_INVALID",
    )


def certificate_ambiguous() -> UnauthenticatedError:
    """Return the error for a client's certificate that could be one of several keys."""
    return UnauthenticatedError(
        "several names of the client's certificate are registered: only one may be",
        reason="CREDENTIALS_INVALID",
    )


def certificate_expired() -> UnauthenticatedError:
    """Return the error for a client's certificate that has expired since its connection began."""
    return UnauthenticatedError(
        "the client's certificate has expired: connect again with a new one", reason="CREDENTIALS_EXPIRED"
    )


def too_many_unknown_credentials() -> ResourceExhaustedError:
    """Return the error for a call with an unknown credential while many such calls wait."""
    return ResourceExhaustedError(
        "too many calls with unknown credentials wait: retry after the delay in RetryInfo",
        reason="SERVER_OVERLOADED",
    )


def api_key_not_found(api_key_id: str) -> NotFoundError:
    """Return the error for a key that is missing, revoked, or another tenant's."""
    return NotFoundError(f"no API key {api_key_id!r}", reason="API_KEY_NOT_FOUND", api_key_id=api_key_id)


def api_key_without_secret(api_key_id: str) -> FailedPreconditionError:
    """Return the error for a rotation of a key that has no secret."""
    return FailedPreconditionError(
        f"the API key {api_key_id!r} has the name of a certificate and no secret: renew the certificate",
        reason="API_KEY_WITHOUT_SECRET",
        api_key_id=api_key_id,
    )


def too_many_api_keys(maximum: int, *, of_tenant: bool) -> FailedPreconditionError:
    """Return the error for a key above the limit of a tenant, or of all tenants together."""
    owner = "the tenant has" if of_tenant else "all tenants together have"
    return FailedPreconditionError(
        f"{owner} {maximum:,} keys already: revoke those that are not used",
        reason="TOO_MANY_API_KEYS",
        max_api_keys=str(maximum),
    )


def too_many_refused_tokens(maximum: int, *, of_tenant: bool) -> FailedPreconditionError:
    """Return the error for a refused token above the limit of a tenant, or of all tenants together."""
    owner = "the tenant has" if of_tenant else "all tenants together have"
    return FailedPreconditionError(
        f"{owner} {maximum:,} refused tokens already: let the issuer withdraw the key that signed them",
        reason="TOO_MANY_REFUSED_TOKENS",
        max_refused_tokens=str(maximum),
    )
