"""A page token of another caller, of another list or from long ago is a random text to the server."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import pytest
from named_fields import PAGE, named_fields
from party import Party
from two_parties import KINDS, create, forged, page_token, seen
from valid_requests import rpc_of

from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from named_fields import NamedField
    from watching import Watcher

    from conftest import Parties
    from support.service import Service

_LISTS = [field for field in named_fields() if field.noun == PAGE]
_MESSAGES = 22
_BITS = (40, 300)
"""A bit of the signature, and one of the position."""


@pytest.mark.parametrize("field", _LISTS, ids=str)
async def test_all_wrong_tokens_are_alike(parties: Parties, watcher: Watcher, field: NamedField) -> None:
    """Each list answers all of them as random bytes, and without a statement."""
    pairs = [
        await parties(kind) for kind in KINDS if KINDS[kind].has_keys and KINDS[kind].calls(field.method)
    ]
    caller, *others = [party for pair in pairs for party in pair]
    own = await create(caller, _MESSAGES)
    token = await page_token(caller, field, own)
    wrong = [_random(token), forged(token), token[:-4], token + "AAAA"]
    wrong += [_flipped(token, bit) for bit in _BITS]
    wrong += [await page_token(other, field, await create(other, _MESSAGES)) for other in others]
    wrong += [await page_token(caller, other, own) for other in _LISTS if rpc_of(other) != rpc_of(field)]
    found = [await seen(watcher, caller, field, text, {}, own) for text in wrong]
    assert found.count(found[0]) == len(found)
    assert "INVALID_PAGE_TOKEN" in found[0].answer
    assert found[0].steps == []
    assert "INVALID_PAGE_TOKEN" not in (await seen(watcher, caller, field, token, {}, own)).answer


@pytest.mark.parametrize("field", _LISTS, ids=str)
async def test_a_token_whose_key_is_gone_is_random(
    serve: Callable[..., Awaitable[Service]], database_url: str, watcher: Watcher, field: NamedField
) -> None:
    """Two newer keys have replaced it. Its owner may replay it, and gets the answer to random bytes."""
    services = [await serve(database_url, auth=("keys",))]
    owner = await Party.holding(services[0], database_url)
    own = await create(owner, _MESSAGES)
    token = await page_token(owner, field, own)
    for _ in range(2):
        execute(database_url, "update signing_keys set create_time = now() - interval '31 days'")
        services.append(await serve(database_url, auth=("keys",)))
        owner = owner._replace(service=services[-1])
        await page_token(owner, field, own)
    replayed, random = [await seen(watcher, owner, field, text, {}, own) for text in (token, _random(token))]
    assert replayed == random
    assert "INVALID_PAGE_TOKEN" in replayed.answer


def _random(token: str) -> str:
    """Return random bytes in the form of a token, with a number of a key that never was."""
    size = len(base64.urlsafe_b64decode(token))
    return base64.urlsafe_b64encode(b"\x7f" + secrets.token_bytes(size - 1)).decode()


def _flipped(token: str, bit: int) -> str:
    data = bytearray(base64.urlsafe_b64decode(token))
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    return base64.urlsafe_b64encode(data).decode()
