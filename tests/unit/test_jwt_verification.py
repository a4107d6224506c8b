"""A token is accepted if it follows every rule, and refused if it breaks one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_server.credentials.jwks import Jwks
from sessionhistory_server.credentials.jwt_rules import ALGORITHMS, ClaimNames, JwtRules
from sessionhistory_server.credentials.jwt_verification import header_of, id_of, verify
from sessionhistory_server.errors import UnauthenticatedError
from support.tokens import AUDIENCE, ISSUER, IssuerKey, encode, jwks, standard_claims

KEYS = {name: IssuerKey(f"key-{name}", name) for name in ALGORITHMS}
EC = KEYS["ES256"]
RSA = KEYS["RS256"]
SET = Jwks(jwks(*(key.jwk() for key in KEYS.values())), ALGORITHMS)
CLAIMS = ClaimNames("org", "sub", "scope", application="azp")
RULES = JwtRules(ISSUER, AUDIENCE, ALGORITHMS, 30.0, ClaimNames(None, "sub", "scope"))
TENANTS = RULES._replace(claims=CLAIMS)


def accept(text: str, rules: JwtRules = RULES, keys: Jwks = SET) -> Any:
    """Return the identity of a token."""
    return verify(text, header_of(text, rules), keys, rules)


def refuse(text: str, fact: str, rules: JwtRules = RULES, keys: Jwks = SET) -> None:
    """Check that a token is refused for a reason, which quotes nothing of it."""
    with pytest.raises(UnauthenticatedError) as caught:
        assert accept(text, rules, keys), "the key is not known"
    assert str(caught.value).startswith("the token is refused: "), str(caught.value)
    assert fact in str(caught.value)
    assert caught.value.reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm(algorithm: str) -> None:
    """It names its tenant, its user, and its scopes; words of other services are ignored."""
    expire_time = int(time.time()) + 60
    text = KEYS[algorithm].token(
        org="acme", azp="web", scope="openid read  admin", exp=expire_time, jti="id-1"
    )
    identity = accept(text, TENANTS)
    assert identity.tenant_id == "acme"
    assert (identity.user_id, identity.application_id) == ("ada", "web")
    assert identity.scopes == {"read", "admin"}
    assert not identity.must_name_user
    assert identity.credential_id == "id-1"
    assert identity.expire_time == expire_time + 30


def test_without_a_claim_for_tenants_there_is_one() -> None:
    """The default one, whatever the token says."""
    assert accept(EC.token(org="acme", tenant="acme")).tenant_id == "default"


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("read write", {"read", "write"}),
        (["read", "admin"], {"read", "admin"}),
        (["read write"], set()),
        ("READ", set()),
        ("", set()),
        ([], set()),
        ("read,write", set()),
        ("openid email", set()),
    ],
)
def test_scopes_are_words_or_a_list(scope: Any, scopes: set[str]) -> None:
    """A token without one of this service's may do nothing."""
    assert accept(EC.token(scope=scope)).scopes == scopes


@pytest.mark.parametrize("claims", [ClaimNames(None, "uid", "scope", is_user_optional=True)])
def test_a_service_has_no_user(claims: ClaimNames) -> None:
    """If the setting allows it. A user that is there must be valid even so."""
    rules = RULES._replace(claims=claims)
    service = accept(EC.token(), rules)
    assert (service.user_id, service.must_name_user) == (None, True)
    bound = accept(EC.token(uid="ada"), rules)
    assert (bound.user_id, bound.must_name_user) == ("ada", False)
    for value in ("", 7, [], "x" * 257):
        refuse(EC.token(uid=value), "its claim 'uid' is no text", rules)
    null = EC.signed(
        json.dumps({"alg": "ES256", "kid": EC.key_id}).encode(),
        json.dumps(standard_claims() | {"uid": None}).encode(),
    )
    refuse(null, "its claim 'uid' is no text", rules)


def test_without_a_claim_for_users_all_tokens_are_services() -> None:
    """Whatever their subject is."""
    identity = accept(EC.token(), RULES._replace(claims=ClaimNames(None, None, "scope")))
    assert (identity.user_id, identity.must_name_user) == (None, True)


@pytest.mark.parametrize(
    "value", ["", 7, None, True, ["acme"], {"a": 1}, "x" * 257, "a\0b", "\ud800"], ids=repr
)
@pytest.mark.parametrize("name", ["org", "sub", "azp"])
def test_a_tenant_or_a_user_that_is_none_is_refused(name: str, value: Any) -> None:
    """A missing claim, one of another type, and one that cannot be stored."""
    with pytest.raises(UnauthenticatedError):
        accept(EC.token(**{"org": "acme", "azp": "web"} | {name: value}), TENANTS)


@pytest.mark.parametrize("value", ["x", "x" * 256, "ü" * 256, "a b", "'; drop table"], ids=range(5))
def test_a_tenant_or_a_user_is_any_text(value: str) -> None:
    """Of at most 256 characters."""
    identity = accept(EC.token(org=value, sub=value, azp=value), TENANTS)
    assert (identity.tenant_id, identity.user_id, identity.application_id) == (value, value, value)


@pytest.mark.parametrize("value", [7, None, True, {"read": 1}, [1], ["read", None]], ids=repr)
def test_scopes_of_another_type_are_refused(value: Any) -> None:
    """Also a list with one value of another type."""
    with pytest.raises(UnauthenticatedError):
        accept(EC.token(scope=value))


NOW = 1_800_000_000
AT_NOW = freeze_time(datetime.fromtimestamp(NOW, UTC))

CASES: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://evil.example/"}, "it is of another issuer"),
    ({"iss": ISSUER.rstrip("/")}, "it is of another issuer"),
    ({"iss": [ISSUER]}, "it is of another issuer"),
    ({"iss": None}, "it has no claim 'iss'"),
    ({"aud": "another"}, "it is for another audience"),
    ({"aud": ["another"]}, "it is for another audience"),
    ({"aud": {AUDIENCE: 1}}, "it is for another audience"),
    ({"aud": [AUDIENCE, 7]}, "it is for another audience"),
    ({"aud": []}, "it has no claim 'aud'"),
    ({"aud": None}, "it has no claim 'aud'"),
    ({"exp": None}, "it has no claim 'exp'"),
    ({"exp": "1900000000"}, "its claim 'exp' is no number"),
    ({"exp": True}, "its claim 'exp' is no number"),
    ({"exp": [1]}, "its claim 'exp' is no number"),
    ({"exp": 10**30}, "its claim 'exp' is no number"),
    ({"exp": 10**400}, "its claim 'exp' is no number"),
    ({"exp": math.nan}, "it is no valid JSON Web Token"),
    ({"exp": math.inf}, "it is no valid JSON Web Token"),
    ({"nbf": NOW + 31}, "it is not yet valid"),
    ({"nbf": "0"}, "its claim 'nbf' is no number"),
    ({"iat": NOW + 31}, "it is not yet valid"),
    ({"iat": "0"}, "its claim 'iat' is no number"),
    ({"scope": None}, "it has no claim 'scope'"),
    ({"sub": None}, "it has no claim 'sub'"),
    ({"jti": 7}, "it is no valid JSON Web Token"),
]


@pytest.mark.parametrize(("claims", "fact"), CASES, ids=str)
@AT_NOW
def test_a_claim_that_breaks_a_rule(claims: dict[str, Any], fact: str) -> None:
    """The error names the rule."""
    refuse(EC.token(**claims), fact)


@pytest.mark.parametrize(
    "claims", [{"nbf": NOW + 30}, {"iat": NOW + 30}, {"nbf": NOW - 1}, {"aud": ["x", AUDIENCE]}]
)
@AT_NOW
def test_clocks_may_differ(claims: dict[str, Any]) -> None:
    """By the leeway."""
    assert accept(EC.token(**claims))


@AT_NOW
def test_an_expired_token_has_an_identity() -> None:
    """Its expiry, with the leeway, is checked at each use."""
    assert accept(EC.token(exp=NOW - 100)).expire_time == NOW - 70


def _forged(header: dict[str, Any], signature: bytes = b"") -> str:
    head, body = (encode(json.dumps(part).encode()) for part in (header, standard_claims()))
    return f"{head}.{body}.{encode(signature)}"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], "ES256K", "HS256"])
def test_an_algorithm_that_needs_no_key_is_refused(name: Any) -> None:
    """With and without a signature."""
    for signature in (b"", b"x"):
        text = _forged({"alg": name, "kid": EC.key_id}, signature)
        with pytest.raises(UnauthenticatedError):
            accept(text)
        with pytest.raises(UnauthenticatedError):
            accept(text.rpartition(".")[0] + ".")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", [EC, RSA], ids=["ec", "rsa"])
def test_a_public_key_is_no_secret(key: IssuerKey, algorithm: str) -> None:
    """A token that is signed by HMAC, with the text of the public key, is refused: key confusion."""
    text = _forged({"alg": algorithm, "kid": key.key_id}).rpartition(".")[0]
    for secret in (key.pem, key.pem.rstrip(), json.dumps(key.jwk()).encode(), b""):
        digest = hmac.new(secret, text.encode(), f"sha{algorithm[2:]}").digest()
        refuse(f"{text}.{encode(digest)}", "its algorithm is not allowed")


def test_the_key_decides_on_the_algorithm() -> None:
    """A key for ES256 verifies no other algorithm, even if the setting allows both."""
    for other in ALGORITHMS:
        if other != "ES256":
            header = {"alg": other, "kid": EC.key_id}
            assert accept(EC.token(header)) is None


def test_an_algorithm_that_is_not_set_is_refused() -> None:
    """Although the key is published."""
    refuse(EC.token(), "its algorithm is not allowed", RULES._replace(algorithms=("RS256",)))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "crit", "b64"])
def test_a_header_that_names_another_key_is_refused(name: str) -> None:
    """And one that changes the meaning of a token."""
    for value in (IssuerKey("evil").jwk(), "https://evil.example/keys", ["b64"], True):
        refuse(EC.token({name: value}), f"its header has {name!r}")


def test_another_key_is_refused() -> None:
    """Under a known id, an unknown one, and none."""
    evil = IssuerKey(EC.key_id)
    refuse(evil.token(), "its signature is not valid")
    assert accept(evil.token({"kid": "evil"})) is None
    assert accept(evil.token({"kid": None})) is None
    refuse(evil.token({"kid": None}), "its signature is not valid", keys=Jwks(jwks(EC.jwk()), ALGORITHMS))
    refuse(EC.token({"kid": 7}), "the id of its key is no text")


@pytest.mark.parametrize(
    "claims",
    [
        b'{"sub":"eve","sub":"ada"}',
        b'{"aud":"another","aud":"session-history"}',
        b'{"a":{"b":1,"b":2}}',
        b"[]",
        b"null",
        b"",
        b"{",
        b"\xff",
        b"[" * 3_000,
    ],
    ids=range(9),
)
def test_claims_that_are_ambiguous_or_no_object(claims: bytes) -> None:
    """Even if the issuer has signed them. Parsers take different ones of two equal names."""
    extra = claims[1:-1] if claims.startswith(b"{") else b""
    if extra:
        claims = json.dumps(standard_claims()).encode()[:-1] + b"," + extra + b"}"
    refuse(EC.signed(b'{"alg":"ES256","kid":"key-ES256"}', claims), "it is no valid JSON Web Token")


@pytest.mark.parametrize("header", [b'{"alg":"none","alg":"ES256"}', b"[]", b"", b"\xff", b"[" * 3_000, b"{"])
def test_a_header_that_is_ambiguous_or_no_object(header: bytes) -> None:
    """Two names are refused, too."""
    refuse(EC.signed(header, json.dumps(standard_claims()).encode()), "it is no")


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a", "a.b", "a.b.c.d", "a.b.c=", "a.b.c\n", "ä.b.c", "a b.c.d", "e30.e30.e30", "/.b.c"],
)
def test_a_text_of_another_form(text: str) -> None:
    """No part of it is decoded."""
    with pytest.raises(UnauthenticatedError):
        accept(text)


def test_a_token_that_is_too_long_is_not_parsed() -> None:
    """8,192 characters are accepted."""
    text = EC.token(x="")
    text = EC.token(x="x" * ((8_192 - len(text)) * 3 // 4 - 2))
    assert 8_150 < len(text) <= 8_192
    assert accept(text)
    refuse(EC.token(x="x" * 8_192), "more than 8,192 characters")


def test_the_id_of_a_token() -> None:
    """Its `jti` if this is verified and short, else a digest of the part that is signed."""
    for jti in (None, "", "a b", "x" * 257, "a\nb", "é"):
        text = EC.token(jti=jti)
        signed = hashlib.sha256(text.rpartition(".")[0].encode()).hexdigest()
        assert accept(text).credential_id == id_of(text) == f"sha256:{signed}"
    assert id_of("a password") == ""
    assert id_of("x" * 9_000) == ""


def test_a_changed_signature_has_the_same_id() -> None:
    """The other signature of ECDSA is valid as well, so a digest of the whole token could be escaped."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    text = EC.token(jti=None)
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    again = f"{signed}.{encode(other)}"
    assert again != text
    assert accept(again).credential_id == accept(text).credential_id


TOKENS = [key.token() for key in (EC, RSA, KEYS["EdDSA"])]
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0"


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.sampled_from(TOKENS), st.data())
def test_no_mutation_of_a_token_is_accepted(text: str, data: st.DataObject) -> None:
    """Not one with a character that is replaced, removed or inserted, or with exchanged parts."""
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.text(CHARACTERS, max_size=3))
    removed = data.draw(st.integers(0, 3))
    parts = data.draw(st.permutations(text.split(".")))
    other = data.draw(st.sampled_from(TOKENS))
    for mutated in (
        text[:at] + new + text[at + removed :],
        ".".join(parts),
        f"{text.rpartition('.')[0]}.{other.rpartition('.')[2]}",
    ):
        if mutated not in TOKENS:
            with suppress(UnauthenticatedError):
                assert accept(mutated) is None
