"""The text of an API key, and the ring that holds keys."""

from __future__ import annotations

import math
import re
from hmac import compare_digest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_server.credentials import api_keys, key_ring
from sessionhistory_server.credentials.api_keys import ParsedKey
from sessionhistory_server.credentials.identity import Identity
from sessionhistory_server.credentials.key_ring import HeldKey, KeyRing

_FORM = re.compile(r"shk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}")

_IDENTITY = Identity(
    "t", frozenset({"read"}), None, None, must_name_user=False, credential_id="i", expire_time=9.0
)


def test_a_key_can_be_recognised() -> None:
    """Its prefix, length and letters are fixed, and its checksum is right."""
    for _ in range(1_000):
        key = api_keys.new_key(key_id := api_keys.new_id())
        assert _FORM.fullmatch(key)
        assert api_keys.is_intact(key)
        parsed = api_keys.parse(key)
        assert parsed is not None
        assert parsed.key_id == api_keys.id_of(key) == key_id
        assert key[21:].encode() not in parsed.secret_hash


def test_no_two_keys_are_the_same() -> None:
    """Neither their ids nor their secrets."""
    keys = [api_keys.new_key(api_keys.new_id()) for _ in range(1_000)]
    assert len({key[4:20] for key in keys}) == len({key[21:64] for key in keys}) == 1_000


@settings(derandomize=True)
@given(st.text() | st.from_regex(_FORM, fullmatch=True))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text is an error; one that was not made here has another checksum."""
    parsed = api_keys.parse(text)
    assert parsed is None or (len(text) == 70 and text.startswith("shk_"))
    if parsed is None:
        assert api_keys.id_of(text) == ""
    else:
        api_keys.is_intact(text)


@pytest.mark.parametrize("place", range(4, 70))
def test_a_mistyped_key_is_not_intact(place: int) -> None:
    """The checksum notices one wrong letter anywhere."""
    key = api_keys.new_key(api_keys.new_id())
    wrong = key[:place] + ("a" if key[place] != "a" else "b") + key[place + 1 :]
    assert not api_keys.is_intact(wrong)


def _held(secret: bytes, previous: bytes = key_ring.NO_HASH, until: float = 0.0) -> HeldKey:
    return HeldKey(_IDENTITY, secret, previous, until)


def test_a_ring_finds_both_secrets_until_the_overlap_ends() -> None:
    """The identity of the previous secret expires with the overlap."""
    ring = KeyRing()
    ring.put("i", _held(b"new", b"old", 5.0))
    assert ring.find(ParsedKey("i", b"new"), 4.0) == _IDENTITY
    assert ring.find(ParsedKey("i", b"old"), 4.0) == _IDENTITY._replace(expire_time=5.0)
    assert ring.find(ParsedKey("i", b"old"), 5.0) is None
    assert ring.find(ParsedKey("i", b"other"), 4.0) is None
    ring.put("j", HeldKey(_IDENTITY, b"new", b"old", math.inf))
    assert ring.find(ParsedKey("j", b"old"), 4.0) == _IDENTITY


def test_a_ring_finds_nothing_that_was_removed() -> None:
    """Also with the hash that stands for an unknown key."""
    ring = KeyRing()
    ring.put("i", _held(b"new"))
    ring.remove("i")
    ring.remove("i")
    for secret in (b"new", bytes(32), b""):
        assert ring.find(ParsedKey("i", secret), 0.0) is None


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known and an unknown id take the same comparisons, of values of the same length."""
    compared: list[tuple[int, int]] = []

    def compare(a: Any, b: Any) -> bool:
        compared.append((len(a), len(b)))
        return compare_digest(a, b)

    monkeypatch.setattr(key_ring, "compare_digest", compare)
    ring = KeyRing()
    ring.put("i", _held(bytes(32)))
    ring.find(ParsedKey("i", b"x" * 32), 0.0)
    known, compared[:] = compared[:], []
    ring.find(ParsedKey("j", b"x" * 32), 0.0)
    assert compared == known == [(32, 32), (32, 32)]
