"""The settings of tokens are complete and fit together, or the server does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory_server.config import Settings
from sessionhistory_server.credentials.jwks_source import JwksFile, JwksUrl
from sessionhistory_server.credentials.jwt_rules import ClaimNames
from sessionhistory_server.jwt_settings import JwtSettingsError, check_jwt_settings, jwks_source, jwt_rules
from support.tokens import AUDIENCE, ISSUER, IssuerKey, jwt_settings, publish

if TYPE_CHECKING:
    from pathlib import Path


def _settings(**changes: Any) -> Settings:
    return Settings(**jwt_settings("https://id.example.com/keys", **changes))


def test_the_rules_of_the_settings() -> None:
    """With the defaults."""
    rules = jwt_rules(_settings())
    assert rules == (
        ISSUER,
        AUDIENCE,
        ("RS256", "ES256", "EdDSA"),
        30.0,
        ClaimNames(None, "sub", "scope", is_user_optional=False),
    )


def test_the_source_of_the_settings(tmp_path: Path) -> None:
    """A URL has a scheme; all else is a file."""
    assert isinstance(jwks_source(_settings()), JwksUrl)
    assert isinstance(jwks_source(_settings(jwt_jwks=str(tmp_path))), JwksFile)


def test_settings_that_can_be_used(tmp_path: Path) -> None:
    """A URL is not read at the start, and a file is."""
    check_jwt_settings(Settings())
    check_jwt_settings(_settings())
    publish(tmp_path / "keys.json", IssuerKey("k"))
    check_jwt_settings(_settings(jwt_jwks=str(tmp_path / "keys.json")))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("scopes=scp", (None, None, "scp", False, None)),
        ("user=uid?,scopes=scp", (None, "uid", "scp", True, None)),
        ("tenant=https://x/org,user=sub,scopes=a=b", ("https://x/org", "sub", "a=b", False, None)),
        ("application=azp,scopes=scp", (None, None, "scp", False, "azp")),
    ],
)
def test_the_claims(text: str, names: tuple[object, ...]) -> None:
    """A name of a claim may contain any character but a comma."""
    assert jwt_rules(_settings(jwt_claims=text)).claims == names


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jwt_issuer": None}, "--auth jwt needs --jwt-issuer"),
        ({"jwt_audience": ""}, "--auth jwt needs --jwt-audience"),
        ({"jwt_jwks": None}, "--auth jwt needs --jwt-jwks"),
        ({"jwt_algorithms": ()}, "--jwt-algorithms must name at least one"),
        ({"jwt_jwks": "http://id.example.com/keys"}, "--jwt-jwks must be an https:// URL"),
        ({"jwt_jwks": "https://u:p@id.example.com/"}, "--jwt-jwks must have no user and no password"),
        ({"jwt_jwks": "/nowhere"}, r"--jwt-jwks cannot be read \(No such file or directory\)"),
        ({"jwt_jwks": __file__}, "--jwt-jwks has no valid JSON"),
        ({"jwt_claims": ""}, "a name is one of tenant, user, application, scopes"),
        ({"jwt_claims": "user"}, "a name is one of tenant, user, application, scopes"),
        ({"jwt_claims": "user=,scopes=s"}, "a name is one of tenant, user, application, scopes"),
        ({"jwt_claims": "user=?,scopes=s"}, "a name is one of tenant, user, application, scopes"),
        ({"jwt_claims": "users=sub,scopes=s"}, "a name is one of tenant, user, application, scopes"),
        ({"jwt_claims": "user=sub"}, "scopes is missing"),
        ({"jwt_claims": "scopes=a,scopes=b"}, "scopes has two claims"),
        ({"jwt_claims": "tenant=org?,scopes=s"}, "only the claim of user may be optional"),
        ({"auth": ("keys",)}, "--jwt-issuer needs --auth jwt"),
        ({"auth": (), "jwt_issuer": None, "jwt_audience": None}, "--jwt-jwks needs --auth jwt"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(changes: dict[str, Any], said: str) -> None:
    """The error names the setting."""
    with pytest.raises(JwtSettingsError, match=said):
        check_jwt_settings(_settings(**changes))
