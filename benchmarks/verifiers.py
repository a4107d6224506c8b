"""The verifiers of a worker, with credentials to verify, in this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.credentials.jwks_source import JwksFile
from sessionhistory_server.credentials.jwt_rules import ClaimNames, JwtRules
from sessionhistory_server.model.caller import DEFAULT_TENANT, READ, Caller
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.usecases.following import Following
from sessionhistory_server.usecases.key_verification import KeyVerifier
from sessionhistory_server.usecases.paging import PageTokens
from sessionhistory_server.usecases.refused_tokens import TokenRefusals
from sessionhistory_server.usecases.signing import Signing
from sessionhistory_server.usecases.token_verification import TokenVerifier

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

_RSA_BITS: Final = 2_048
_HOUR_SECONDS: Final = 3_600
_POOL_TIMEOUT_SECONDS: Final = 30.0
_TENANT: Final = "benchmark"
_CALLER: Final = Caller(DEFAULT_TENANT, None, None, frozenset({READ}), "", must_name_user=False)
_LAYOUT: Final = "!qq"

_COPY: Final = """
copy api_keys (
    api_key_id, tenant_id, display_name, scopes, require_user_id, secret_hash, create_time, generation
) from stdin
"""
_GENERATION: Final = """
insert into credential_state (only_row, generation) values (true, %(count)s)
on conflict (only_row) do update set generation = credential_state.generation + %(count)s
returning generation
"""


class Issuer:
    """An issuer of JSON Web Tokens whose public keys are in a file.

    Args:
        folder: A folder for the file.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys.json"
        self._keys: dict[str, Any] = {
            "RS256": rsa.generate_private_key(65_537, _RSA_BITS),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }
        public = [
            jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
            | {"kid": name, "alg": name}
            for name, key in self._keys.items()
        ]
        self.file.write_text(json.dumps({"keys": public}))

    @property
    def rules(self) -> JwtRules:
        """The rules of a server that accepts the tokens."""
        return JwtRules("benchmark", "benchmark", tuple(self._keys), 0, ClaimNames("tenant", "sub", "scope"))

    def token(self, algorithm: str) -> str:
        """Return a new token."""
        claims: dict[str, Any] = {
            "iss": "benchmark",
            "aud": "benchmark",
            "tenant": "t",
            "sub": "user",
            "scope": "read write",
        }
        claims |= {"jti": key_text.new_id(), "exp": int(time.time()) + _HOUR_SECONDS}
        return jwt.encode(claims, self._keys[algorithm], algorithm, {"kid": algorithm})


class Verifiers(NamedTuple):
    """Verifiers that have read all that they need."""

    keys: KeyVerifier
    tokens: TokenVerifier
    page_tokens: PageTokens

    @classmethod
    def read(cls, url: str, issuer: Issuer) -> Verifiers:
        """Return the verifiers of a worker on a database."""
        return asyncio.run(cls._read(url, issuer))

    @classmethod
    async def _read(cls, url: str, issuer: Issuer) -> Verifiers:
        database = Database(url, pool_size=1, pool_timeout_seconds=_POOL_TIMEOUT_SECONDS)
        await database.open_pool()
        try:
            following = Following(database)
            keys, refusals = KeyVerifier(database, following), TokenRefusals(database)
            following.follow(refusals)
            await following.refresh()
            tokens = TokenVerifier(issuer.rules, JwksFile(issuer.file), refusals, following)
            await tokens.refresh_soon()
            page_tokens = PageTokens(Signing(database))
            await page_tokens.encode(_CALLER, (), _LAYOUT, (0, 0))
        finally:
            await database.close()
        return cls(keys, tokens, page_tokens)

    def sign_page(self) -> str:
        """Return a page token."""
        token: str = _at_once(self.page_tokens.encode(_CALLER, ("benchmark",), _LAYOUT, (1, 2)))
        return token

    def verify_page(self, token: str) -> None:
        """Verify a page token."""
        _at_once(self.page_tokens.decode(_CALLER, ("benchmark",), _LAYOUT, token))


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - the result of the work
    """Return the result of work that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


@contextmanager
def stored_keys(url: str, count: int) -> Iterator[list[str]]:
    """Store this many API keys for the block, past the limit of a tenant; yield them in a random order."""
    made = [key_text.new_key(key_text.new_id()) for _ in range(count)]
    with psycopg.connect(url) as connection:
        ((end,),) = connection.execute(_GENERATION, {"count": count}).fetchall()
        with connection.cursor().copy(_COPY) as copy:
            for number, key in enumerate(made):
                secret_hash = hashlib.sha256(key[21:].encode()).digest()
                copy.write_row(
                    (
                        key[4:20],
                        _TENANT,
                        "",
                        [READ],
                        False,
                        secret_hash,
                        "2000-01-01T00:00:00Z",
                        end - count + 1 + number,
                    )
                )
    random.shuffle(made)
    try:
        yield made
    finally:
        with psycopg.connect(url) as connection:
            connection.execute("delete from api_keys where tenant_id = %s", [_TENANT])
