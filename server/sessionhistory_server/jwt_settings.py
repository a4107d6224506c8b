"""The settings of JSON Web Tokens, which must be complete and fit together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sessionhistory_server.config import Settings, flag
from sessionhistory_server.credentials.jwt_rules import ClaimNames, JwtRules

if TYPE_CHECKING:
    from sessionhistory_server.credentials.jwks_source import JwksSource

_REQUIRED: Final = ("jwt_issuer", "jwt_audience", "jwt_jwks")
_CLAIMS: Final = "--jwt-claims must be like tenant=org,user=sub,scopes=scope: "


_NAMES: Final = ("tenant", "user", "application", "scopes")


class JwtSettingsError(Exception):
    """The settings of tokens cannot be used. The message names the setting and the remedy."""


def check_jwt_settings(settings: Settings) -> None:
    """Refuse settings that cannot be used, and a file of keys that cannot be read.

    A URL of keys is read when the server runs: its own failure must not keep a server from starting.

    Raises:
        JwtSettingsError: a setting is missing or wrong.
    """
    if "jwt" not in settings.auth:
        for name in (name for name in Settings.__dataclass_fields__ if name.startswith("jwt_")):
            if getattr(settings, name) != Settings.__dataclass_fields__[name].default:
                raise JwtSettingsError(f"{flag(name)} needs --auth jwt")
        return
    # Imported here, because a server without tokens starts sooner without it.
    from sessionhistory_server.credentials.jwks import Jwks, JwksError  # noqa: PLC0415

    rules, source = jwt_rules(settings), jwks_source(settings)
    if not _is_url(settings.jwt_jwks or ""):
        try:
            Jwks(source.read(), rules.algorithms)
        except JwksError as error:
            raise JwtSettingsError(f"--jwt-jwks {error}") from error


def jwt_rules(settings: Settings) -> JwtRules:
    """Return the rules for tokens.

    Raises:
        JwtSettingsError: a setting is missing or wrong.
    """
    for name in _REQUIRED:
        if not getattr(settings, name):
            raise JwtSettingsError(f"--auth jwt needs {flag(name)}")
    if not settings.jwt_algorithms:
        raise JwtSettingsError("--jwt-algorithms must name at least one")
    return JwtRules(
        settings.jwt_issuer or "",
        settings.jwt_audience or "",
        settings.jwt_algorithms,
        settings.jwt_leeway_seconds,
        _claim_names(settings.jwt_claims),
    )


def jwks_source(settings: Settings) -> JwksSource:
    """Return the source of the keys that verify tokens.

    Raises:
        JwtSettingsError: the URL is not one of keys.
    """
    from sessionhistory_server.credentials.jwks import JwksError  # noqa: PLC0415 - as above
    from sessionhistory_server.credentials.jwks_source import JwksFile, JwksUrl  # noqa: PLC0415

    place = settings.jwt_jwks or ""
    if not _is_url(place):
        return JwksFile(Path(place))
    try:
        return JwksUrl(place)
    except JwksError as error:
        raise JwtSettingsError(f"--jwt-jwks {error}") from error


def _is_url(place: str) -> bool:
    return "://" in place


def _claim_names(text: str) -> ClaimNames:
    names: dict[str, str] = {}
    for item in text.split(","):
        name, _, claim = item.partition("=")
        if name not in _NAMES or not claim.strip("?"):
            raise JwtSettingsError(f"{_CLAIMS}a name is one of {', '.join(_NAMES)}, and has a claim")
        if name in names:
            raise JwtSettingsError(f"{_CLAIMS}{name} has two claims")
        names[name] = claim
    user = names.get("user")
    if "scopes" not in names:
        raise JwtSettingsError(f"{_CLAIMS}scopes is missing, so tokens would have no rights")
    if any(claim.endswith("?") for name, claim in names.items() if name != "user"):
        raise JwtSettingsError(f"{_CLAIMS}only the claim of user may be optional (?)")
    return ClaimNames(
        names.get("tenant"),
        user and user.removesuffix("?"),
        names["scopes"],
        is_user_optional=bool(user and user.endswith("?")),
        application=names.get("application"),
    )
