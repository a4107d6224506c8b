"""Keys are kept up to date: read again when that is due, once for all calls, and never for long."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.credentials import jwks_keeper
from sessionhistory_server.credentials.jwks import JwksError
from sessionhistory_server.credentials.jwks_keeper import JwksKeeper
from sessionhistory_server.errors import ResourceExhaustedError, UnavailableError
from support.tokens import IssuerKey, jwks
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SECOND = IssuerKey("first"), IssuerKey("second")


class Source:
    """A source that a test sets, and can let wait."""

    refresh_seconds = 300.0
    unknown_seconds = 10.0

    def __init__(self) -> None:
        self.contents: bytes | Exception = jwks(FIRST.jwk())
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def read(self) -> bytes:
        """Return the contents, or raise them."""
        self.reads += 1
        self.gate.wait(30)
        if isinstance(self.contents, Exception):
            raise self.contents
        return self.contents


@pytest.fixture
def source() -> Iterator[Source]:
    """A source; its threads end with the test."""
    made = Source()
    yield made
    made.gate.set()


@pytest.fixture
def keeper(source: Source) -> JwksKeeper:
    """A keeper of the keys of that source."""
    return JwksKeeper(source, ("ES256",))


def _pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass for the keeper, and for no event loop: other tests' services share this process."""
    now = jwks_keeper.time.monotonic
    monkeypatch.setattr(jwks_keeper, "time", SimpleNamespace(monotonic=lambda: now() + seconds))


async def test_keys_are_read_when_that_is_due(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same contents are the same object; others are another one."""
    assert keeper.keys is None
    for _ in range(3):
        await keeper.refresh_if_due()
    first = keeper.keys
    assert first is not None
    assert source.reads == 1
    _pass(monkeypatch, 301)
    await keeper.refresh_if_due()
    assert keeper.keys is first
    source.contents = jwks(SECOND.jwk())
    _pass(monkeypatch, 301)
    await keeper.refresh_if_due()
    assert keeper.keys is not None
    assert keeper.keys.find("first", "ES256") is None
    assert source.reads == 3


async def test_an_unknown_key_lets_calls_read_together(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all of them, and not again within ten seconds."""
    source.gate.clear()
    calls = [asyncio.create_task(keeper.refresh_for_unknown()) for _ in range(50)]
    await until(lambda: source.reads)
    calls[0].cancel()
    source.gate.set()
    await asyncio.gather(*calls[1:])
    assert calls[0].cancelled()
    await keeper.refresh_for_unknown()
    assert source.reads == 1
    _pass(monkeypatch, 11)
    await keeper.refresh_for_unknown()
    assert source.reads == 2


async def test_few_calls_wait(keeper: JwksKeeper, source: Source) -> None:
    """More than 64 are refused at once."""
    source.gate.clear()
    calls = [asyncio.create_task(keeper.refresh_for_unknown()) for _ in range(64)]
    await until(lambda: source.reads)
    with pytest.raises(ResourceExhaustedError):
        await keeper.refresh_for_unknown()
    source.gate.set()
    await asyncio.gather(*calls)


async def test_without_keys_calls_are_unavailable(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they can be read."""
    source.contents = b"no keys"
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await keeper.refresh_for_unknown()
    assert source.reads == 1
    source.contents = jwks(FIRST.jwk())
    _pass(monkeypatch, 11)
    await keeper.refresh_for_unknown()
    assert keeper.keys


async def test_the_last_keys_stay_in_use_for_a_day(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is tried again after half a minute. For a token with another key it is no refusal."""
    await keeper.refresh_if_due()
    first = keeper.keys
    source.contents = JwksError("is gone")
    _pass(monkeypatch, 301)
    await keeper.refresh_if_due()
    assert keeper.keys is first
    with pytest.raises(UnavailableError):
        await keeper.refresh_for_unknown()
    _pass(monkeypatch, 31)
    await keeper.refresh_if_due()
    assert (keeper.keys, source.reads) == (first, 3)
    _pass(monkeypatch, 86_000)
    assert keeper.keys is first
    _pass(monkeypatch, 400)
    assert keeper.keys is None


async def test_a_failure_is_logged_once(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And so is its end."""
    with caplog.at_level(logging.INFO, jwks_keeper.__name__):
        for contents in (
            JwksError("is gone"),
            b"no keys",
            OSError("a secret"),
            jwks(FIRST.jwk()),
            jwks(FIRST.jwk()),
        ):
            source.contents = contents
            await keeper.refresh_if_due()
            _pass(monkeypatch, 301)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "--jwt-jwks is gone" in caplog.text
    assert "a secret" not in caplog.text


async def test_a_source_that_hangs_does_not(
    keeper: JwksKeeper, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for it is limited, and only one thread hangs."""
    monkeypatch.setattr(jwks_keeper, "FETCH_SECONDS", 0.05)
    source.gate.clear()
    for _ in range(3):
        await keeper.refresh_if_due()
        _pass(monkeypatch, 301)
    assert source.reads == 1
    source.gate.set()
    await until(lambda: not any(thread.name == "jwks" for thread in threading.enumerate()))
    await keeper.refresh_if_due()
    assert keeper.keys


async def test_a_stop_ends_a_read(keeper: JwksKeeper, source: Source) -> None:
    """It does not wait for the thread, and its calls are UNAVAILABLE."""
    source.gate.clear()
    call = asyncio.create_task(keeper.refresh_for_unknown())
    await until(lambda: source.reads)
    await keeper.close()
    with pytest.raises(UnavailableError):
        await call


async def test_a_system_without_threads_is_a_failure_like_others(
    keeper: JwksKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are read once the system has a thread again."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        await keeper.refresh_if_due()
    assert keeper.keys is None
    _pass(monkeypatch, 31)
    await keeper.refresh_if_due()
    assert keeper.keys is not None
