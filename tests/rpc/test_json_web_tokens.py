"""A server that accepts JSON Web Tokens serves their holders only, each within its claims."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from rpc_support import call, create, fresh_id

from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.credentials import jwks_source
from sessionhistory_server.usecases import token_verification
from support.errors import fails, failure_of
from support.jwks_server import JwksServer, dripping
from support.keys import credentials, holding, make_key
from support.tokens import IssuerKey, encode, jwks, jwt_settings, publish
from support.waiting import until

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

KEY, RSA = IssuerKey("ec"), IssuerKey("rsa", "RS256")
INVALID = ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """The file of the issuer's keys."""
    path = tmp_path / "keys.json"
    publish(path, KEY, RSA)
    return path


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    """A server of the issuer's keys."""
    async with JwksServer.running() as running:
        running.publish(jwks(KEY.jwk(), RSA.jwk()))
        yield running


@pytest_asyncio.fixture
async def service(serve: Serve, database_url: str, keys_file: Path) -> Service:
    """A service that accepts keys and tokens, with tenants."""
    settings = jwt_settings(keys_file, auth=("keys", "jwt"), jwt_claims="tenant=org,user=sub,scopes=scope")
    return await serve(database_url, **settings)


def token(key: IssuerKey = KEY, **claims: Any) -> str:
    """Return a token of a tenant."""
    return key.token(**{"org": "acme"} | claims)


async def outcome(service: Service, text: str, **fields: Any) -> str:
    """Return the reason of the answer to a call with a credential."""
    try:
        await call(holding(service, text), "GetSession", fresh_id(), **fields)
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return ""


@pytest.mark.parametrize("key", [KEY, RSA], ids=["ES256", "RS256"])
async def test_a_token_is_accepted(service: Service, key: IssuerKey) -> None:
    """Its user has sessions of its own, which another user of the tenant and another tenant do not find."""
    ada = holding(service, token(key))
    session_id = fresh_id()
    await create(ada, session_id)
    assert (await call(ada, "GetSession", session_id)).session.user_id == "ada"
    for other in ({"sub": "eve"}, {"org": "other"}):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(holding(service, token(key, **other)), "GetSession", session_id)


async def test_a_token_acts_for_its_user_only(service: Service) -> None:
    """Another user in the request is refused."""
    with fails("PERMISSION_DENIED", "USER_MISMATCH"):
        await call(holding(service, token()), "GetSession", "s", "eve")
    assert await outcome(service, token(), user_id="ada") == "SESSION_NOT_FOUND"


async def test_a_token_has_the_scopes_of_its_claim(service: Service) -> None:
    """As a key has its own."""
    with fails("PERMISSION_DENIED", "SCOPE_MISSING"):
        await create(holding(service, token(scope="openid read")), fresh_id())
    with fails("PERMISSION_DENIED", "SCOPE_MISSING"):
        await call(holding(service, token(scope="openid")), "GetSession", "s")
    request = credentials_pb.ListApiKeysRequest()
    assert await credentials(service, token(scope=["admin"])).ListApiKeys(request) is not None


def _none() -> str:
    header = encode(b'{"alg":"none","kid":"ec"}')
    return f"{header}.{token().split('.')[1]}."


def _confused() -> str:
    """Return a token that is signed by HMAC with the text of the public key."""
    header = encode(b'{"alg":"HS256","kid":"rsa"}')
    text = f"{header}.{token(RSA).split('.')[1]}"
    return f"{text}.{encode(hmac.new(RSA.pem, text.encode(), 'sha256').digest())}"


NOW = int(time.time())

REFUSED = {
    "none": (_none(), "it is no valid JSON Web Token"),
    "key confusion": (_confused(), "its algorithm is not allowed"),
    "another key": (token(IssuerKey("ec")), "its signature is not valid"),
    "own key": (KEY.token({"jwk": IssuerKey("x").jwk()}), "its header has 'jwk'"),
    "issuer": (token(iss="https://evil.example/"), "it is of another issuer"),
    "audience": (token(aud="another"), "it is for another audience"),
    "not yet valid": (token(nbf=NOW + 3_600), "it is not yet valid"),
    "no expiry": (token(exp=None), "it has no claim 'exp'"),
    "no tenant": (token(org=None), "it has no claim 'org'"),
    "no user": (token(sub=None), "it has no claim 'sub'"),
    "no scopes": (token(scope=None), "it has no claim 'scope'"),
    "type of tenant": (token(org=["acme"]), "its claim 'org' is no text"),
    "long": (token(x="x" * 8_000), "it has more than 8,192 characters"),
    "no token": ("a secret text", "it is no valid JSON Web Token"),
    "nothing": ("", "it is no valid JSON Web Token"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_that_breaks_a_rule_is_refused(service: Service, log: io.StringIO, case: str) -> None:
    """The error has the reason. Neither the error nor the log has any part of the token."""
    text, fact = REFUSED[case]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(holding(service, text), "GetSession", "s")
    failure = failure_of(caught.value)
    assert (failure.code.name, failure.reason) == INVALID
    assert failure.message.startswith(f"the token is refused: {fact}")
    assert failure.metadata == {}
    await until(lambda: "GetSession" in log.getvalue())
    shown = f"{caught.value.details()}{caught.value.trailing_metadata()}{log.getvalue()}"
    assert all(part not in shown for part in text.split(".") if part)


async def test_two_credentials_are_none(service: Service) -> None:
    """Two tokens, and a key with a token."""
    _, secret = await make_key(service)
    for pair in ((token(), token()), (token(), secret), (secret, token())):
        metadata = [("authorization", f"Bearer {text}") for text in pair]
        with fails(*INVALID):
            await service.stub.GetSession(pb.GetSessionRequest(session_id="s"), metadata=metadata)
        with fails(*INVALID):
            await service.stub.GetSession(
                pb.GetSessionRequest(session_id="s"), metadata=[("authorization", f"Bearer {' '.join(pair)}")]
            )


async def test_keys_and_tokens_are_accepted_beside_each_other(
    service: Service, serve: Serve, database_url: str, keys_file: Path
) -> None:
    """Each by its own servers only, unless both are set."""
    _, secret = await make_key(service)
    only = {
        ("keys",): await serve(database_url, auth=("keys",)),
        ("jwt",): await serve(database_url, **jwt_settings(keys_file)),
        ("keys", "jwt"): service,
    }
    for auth, each in only.items():
        assert await outcome(each, secret) == (
            "SESSION_NOT_FOUND" if "keys" in auth else "CREDENTIALS_INVALID"
        )
        assert await outcome(each, token()) == (
            "SESSION_NOT_FOUND" if "jwt" in auth else "CREDENTIALS_INVALID"
        )
        assert await outcome(each, "") == "CREDENTIALS_INVALID"
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
        await call(holding(only["jwt",], secret), "GetSession", "s")
    assert failure.message.startswith("this server accepts no credential of this kind")


async def test_a_token_expires_while_it_is_used(serve: Serve, database_url: str, keys_file: Path) -> None:
    """Although the server remembers it."""
    service = await serve(database_url, **jwt_settings(keys_file, jwt_leeway_seconds=0.0))
    text = token(exp=int(time.time()) + 2)
    assert await outcome(service, text) == "SESSION_NOT_FOUND"

    async def has_expired() -> bool:
        return await outcome(service, text) == "CREDENTIALS_EXPIRED"

    await until(has_expired)


async def test_clocks_may_differ(service: Service) -> None:
    """By half a minute, and no more."""
    now = int(time.time())
    assert await outcome(service, token(exp=now - 15)) == "SESSION_NOT_FOUND"
    assert await outcome(service, token(nbf=now + 15, iat=now + 15)) == "SESSION_NOT_FOUND"
    assert await outcome(service, token(exp=now - 31)) == "CREDENTIALS_EXPIRED"


async def test_a_token_without_a_user_is_a_services(serve: Serve, database_url: str, keys_file: Path) -> None:
    """It names the user in each call."""
    service = await serve(database_url, **jwt_settings(keys_file, jwt_claims="user=uid?,scopes=scope"))
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(holding(service, token()), "GetSession", "s")
    assert "user_id" in str(failure)
    assert await outcome(service, token(), user_id="eve") == "SESSION_NOT_FOUND"
    assert await outcome(service, token(uid="ada"), user_id="eve") == "USER_MISMATCH"


async def test_a_new_key_in_the_file(service: Service, keys_file: Path) -> None:
    """It is read for the first token that names it. A key that is gone is refused, also for known tokens."""
    assert await outcome(service, token()) == "SESSION_NOT_FOUND"
    new = IssuerKey("new")
    publish(keys_file, new)

    async def answers(text: str, reason: str) -> bool:
        return await outcome(service, text) == reason

    await until(lambda: answers(token(new), "SESSION_NOT_FOUND"))
    assert await outcome(service, token()) == "CREDENTIALS_INVALID"
    publish(keys_file)
    assert await outcome(service, token(new)) == "SESSION_NOT_FOUND"


async def test_a_new_key_at_the_url(
    serve: Serve, database_url: str, issuer: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched for the first token that names it, and not once for each unknown one."""
    monkeypatch.setattr(jwks_source.JwksUrl, "unknown_seconds", 0.0)
    service = await serve(database_url, **jwt_settings(issuer.url))
    assert await outcome(service, token()) == "SESSION_NOT_FOUND"
    new = IssuerKey("new")
    assert await outcome(service, token(new)) == "CREDENTIALS_INVALID"
    issuer.publish(jwks(new.jwk()))
    assert await outcome(service, token(new)) == "SESSION_NOT_FOUND"
    assert await outcome(service, token()) == "CREDENTIALS_INVALID"
    monkeypatch.setattr(jwks_source.JwksUrl, "unknown_seconds", 10.0)
    fetched = len(issuer.requests)
    unknown = [token(IssuerKey(f"unknown-{number}")) for number in range(20)]
    reasons = await asyncio.gather(*(outcome(service, text) for text in unknown))
    assert set(reasons) == {"CREDENTIALS_INVALID"}
    assert len(issuer.requests) == fetched


ENDLESS = dripping(b"HTTP/1.1 200 OK\r\n\r\n")
HUGE = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1_000_000
BROKEN: dict[str, Any] = {
    "slow": ENDLESS,
    "huge": HUGE,
    "gone": b"",
    "invalid": b"HTTP/1.1 200 OK\r\n\r\n<html>",
    "redirected": b"HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\n\r\n",
    "private": b"HTTP/1.1 200 OK\r\n\r\n" + jwks(KEY.private_jwk()),
    "symmetric": b"HTTP/1.1 200 OK\r\n\r\n" + jwks({"kty": "oct", "kid": "ec", "k": "c2VjcmV0"}),
}


@pytest.mark.parametrize("answer", BROKEN)
async def test_keys_that_cannot_be_fetched(
    serve: Serve, database_url: str, issuer: JwksServer, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Until then tokens are UNAVAILABLE. Calls with API keys are served meanwhile."""
    monkeypatch.setattr(jwks_source, "FETCH_SECONDS", 1.0)
    monkeypatch.setattr(jwks_source.JwksUrl, "unknown_seconds", 0.0)
    issuer.answer = BROKEN[answer]
    service = await serve(database_url, **jwt_settings(issuer.url, auth=("keys", "jwt")))
    _, secret = await make_key(service)
    waiting = asyncio.create_task(outcome(service, token()))
    await until(lambda: issuer.requests)
    assert await outcome(service, secret) == "SESSION_NOT_FOUND"
    assert await outcome(service, "no token") == "CREDENTIALS_INVALID"
    assert await waiting == "TOKEN_KEYS_UNAVAILABLE"
    with fails("UNAVAILABLE", "TOKEN_KEYS_UNAVAILABLE"):
        await call(holding(service, token()), "GetSession", "s")
    issuer.publish(jwks(KEY.jwk()))
    assert await outcome(service, token()) == "SESSION_NOT_FOUND"
    issuer.answer = BROKEN[answer]
    assert await outcome(service, token(IssuerKey("unknown"))) == "TOKEN_KEYS_UNAVAILABLE"
    assert await outcome(service, token()) == "SESSION_NOT_FOUND"


async def test_remembered_tokens_are_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last used ones stay, and no text of a token is kept."""
    monkeypatch.setattr(token_verification, "MAX_REMEMBERED", 3)
    texts = [token(jti=str(number)) for number in range(5)]
    for text in (*texts[:3], texts[0], *texts[3:]):
        assert await outcome(service, text) == "SESSION_NOT_FOUND"
    remembered: Any = service.app._credentials.tokens._identities  # type: ignore[union-attr]  # noqa: SLF001 - no call shows it
    digests = [hashlib.sha256(texts[number].encode()).digest() for number in (0, 3, 4)]
    assert list(remembered) == digests
    assert not any(part in str(remembered) for text in texts for part in text.split("."))


async def test_the_trail_names_the_token(service: Service, log: io.StringIO) -> None:
    """By its verified `jti`, else by a digest: a forged token cannot name another."""
    now = int(time.time())
    texts = (
        token(jti="id-1", exp=now - 100),
        token(IssuerKey("ec"), jti="id-2"),
        token(jti="id-3", scope=""),
    )
    for text in texts:
        await outcome(service, text)

    def events() -> list[dict[str, Any]]:
        found = map(json.loads, log.getvalue().splitlines())
        return [line for line in found if line["event"] == "audit"]

    await until(lambda: len(events()) == 3)
    digest = hashlib.sha256(texts[1].rpartition(".")[0].encode()).hexdigest()
    assert [(event["tenant"], event["credential"]) for event in events()] == [
        ("", "id-1"),
        ("", f"sha256:{digest}"),
        ("acme", "id-3"),
    ]


async def test_a_signature_that_was_changed_is_refused(service: Service) -> None:
    """Also in its unused last bits, which another decoder would ignore."""
    text = token(RSA)
    assert await outcome(service, text) == "SESSION_NOT_FOUND"
    last = text[-1]
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
        if other != last:
            assert await outcome(service, text[:-1] + other) == "CREDENTIALS_INVALID"
    assert base64.urlsafe_b64decode(text.rpartition(".")[2] + "==")
