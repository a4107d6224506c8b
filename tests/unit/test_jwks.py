"""A set of keys: the ones that verify signatures are used, and all others are ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sessionhistory_server.credentials.jwks import Jwks, JwksError
from sessionhistory_server.credentials.jwt_rules import ALGORITHMS
from support.tokens import IssuerKey, encode, jwks

KEYS = {name: IssuerKey(f"key-{name}", name) for name in ALGORITHMS}
EC = KEYS["ES256"]
RSA = KEYS["RS256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_found_by_its_id_and_its_algorithm(algorithm: str) -> None:
    """For no other algorithm, and under no other id."""
    keys = Jwks(jwks(*(key.jwk() for key in KEYS.values())), ALGORITHMS)
    for other in (*ALGORITHMS, "none", "HS256", ""):
        found = keys.find(f"key-{algorithm}", other)
        assert (found is not None) == (other == algorithm)
    assert keys.find(None, algorithm) is None
    assert keys.find("another", algorithm) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_without_an_algorithm_is_for_those_of_its_type(algorithm: str) -> None:
    """An RSA key for all of RSA, a key of a curve for the one of that curve."""
    keys = Jwks(jwks(KEYS[algorithm].jwk(alg=None)), ALGORITHMS)
    fitting = {other for other in ALGORITHMS if keys.find(f"key-{algorithm}", other)}
    rsa = {name for name in ALGORITHMS if name[:2] in ("RS", "PS")}
    assert fitting == (rsa if algorithm in rsa else {algorithm})


def test_the_only_key_needs_no_id() -> None:
    """A token may name none, but not another one."""
    for entry, name in ((EC.jwk(), "key-ES256"), (EC.jwk(kid=None), None)):
        keys = Jwks(jwks(entry), ALGORITHMS)
        assert keys.find(None, "ES256")
        assert keys.find("another", "ES256") is None
        assert keys.find(name, "ES256")


@pytest.mark.parametrize(
    "entry",
    [
        EC.private_jwk(),
        RSA.private_jwk(),
        {"kty": "oct", "kid": "x", "k": encode(b"secret" * 8)},
        {"kty": "oct", "kid": "x", "k": encode(b"secret" * 8), "alg": "ES256"},
        EC.jwk(use="enc"),
        EC.jwk(key_ops=["sign"]),
        EC.jwk(key_ops="deriveKey"),
        EC.jwk(key_ops=7),
        EC.jwk(alg="HS256"),
        EC.jwk(alg="none"),
        EC.jwk(alg="RS256"),
        EC.jwk(alg=["ES256"]),
        EC.jwk(kty="RSA"),
        EC.jwk(kty="AKP"),
        EC.jwk(kty=None),
        EC.jwk(crv="P-384"),
        EC.jwk(crv="secp256k1"),
        EC.jwk(x=encode(b"1" * 32)),
        EC.jwk(x="*"),
        EC.jwk(x=1),
        EC.jwk(y=None),
        EC.jwk(kid=7),
        RSA.jwk(n=encode(b"\1" * 128)),
        RSA.jwk(n=encode(b"\1" * 2_048)),
        RSA.jwk(e=None),
        RSA.jwk(e=encode(b"\2")),
        KEYS["EdDSA"].jwk(x=encode(b"short")),
        KEYS["EdDSA"].jwk(crv="X25519"),
        [],
        "key",
        None,
        {},
    ],
    ids=range(32),
)
def test_an_entry_that_verifies_nothing_is_ignored(entry: Any) -> None:
    """Another key of the set is used, and a set without another one is refused."""
    other = KEYS["ES384"]
    keys = Jwks(json.dumps({"keys": [entry, other.jwk()]}).encode(), ALGORITHMS)
    assert keys.find("key-ES384", "ES384")
    for algorithm in ("ES256", "RS256", "HS256", "EdDSA"):
        for name in ("key-ES256", "key-RS256", "key-EdDSA", "x"):
            assert keys.find(name, algorithm) is None
    with pytest.raises(JwksError, match="no public key for the allowed algorithms"):
        Jwks(json.dumps({"keys": [entry]}).encode(), ALGORITHMS)


def test_keys_of_other_algorithms_are_ignored() -> None:
    """Those that the setting does not name."""
    data = jwks(EC.jwk(), RSA.jwk())
    assert Jwks(data, ("RS256",)).find("key-ES256", "ES256") is None
    with pytest.raises(JwksError):
        Jwks(data, ("PS256",))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "has no valid JSON"),
        (b"<html>secret</html>", "has no valid JSON"),
        (b"\xff\xfe", "has no valid JSON"),
        (b"[" * 100_000, "has no valid JSON"),
        (b'{"keys": [NaN]}', "has no valid JSON"),
        (b'{"keys": [], "keys": []}', "has no valid JSON"),
        (b"[]", "has no valid JSON"),
        (b"{}", 'has no list "keys"'),
        (b'{"keys": {}}', 'has no list "keys"'),
        (jwks(), "has no public key"),
        (jwks(*(EC.jwk(kid=str(number)) for number in range(65))), "has more than 64 keys"),
    ],
    ids=range(11),
)
def test_what_is_no_set_is_refused(data: bytes, reason: str) -> None:
    """With a reason that quotes nothing."""
    with pytest.raises(JwksError, match=reason) as caught:
        Jwks(data, ALGORITHMS)
    assert "secret" not in str(caught.value)


def test_of_two_keys_with_one_id_the_fitting_one_is_used() -> None:
    """The standard allows them if their types differ."""
    keys = Jwks(jwks(EC.jwk(kid="k"), RSA.jwk(kid="k")), ALGORITHMS)
    for algorithm in ("ES256", "RS256"):
        found = keys.find("k", algorithm)
        assert found is not None
        assert found.algorithms == (algorithm,)
