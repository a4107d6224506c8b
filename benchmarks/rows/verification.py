"""The cost of credentials: verification alone, against its target, and of calls with a key."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks import processes
from benchmarks.load import traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch
from benchmarks.verifiers import Issuer, Verifiers, stored_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from benchmarks.bench import Bench
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.launch import Server

    Rounds = Generator[Round, None, None]

_CACHED_MICROS: Final = 5.0
_UNCACHED_MICROS: Final = 100.0
"""The targets of the project."""
_TIMES: Final = 20_000
_TOKENS: Final = 200


def _micros_each(verify: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return the CPU of one verification, in microseconds. Other programs on the machine do not count."""
    begin = time.thread_time()
    for text in texts:
        verify(text)
    return (time.thread_time() - begin) / len(texts) * 1e6


def _key(bench: Bench, *, is_cached: bool) -> Rounds:
    """Verify a key that was just verified, or each key once, in random order."""
    with stored_keys(bench.database_url, bench.scale.api_keys) as keys:
        verifiers = Verifiers.read(bench.database_url, Issuer(bench.folder))
        texts, target = ([keys[0]] * _TIMES, _CACHED_MICROS) if is_cached else (keys, _UNCACHED_MICROS)
        assert verifiers.keys.find(keys[0])
        for _ in bench.rounds():
            yield Round(_micros_each(verifiers.keys.find, texts), target)


def _cached_token(bench: Bench) -> Rounds:
    issuer = Issuer(bench.folder)
    verifiers = Verifiers.read(bench.database_url, issuer)
    texts = [issuer.token("ES256")] * _TIMES
    assert verifiers.tokens.find(texts[0])
    for _ in bench.rounds():
        yield Round(_micros_each(verifiers.tokens.find, texts), _CACHED_MICROS)


def _uncached_token(bench: Bench) -> Rounds:
    issuer = Issuer(bench.folder)
    verifiers = Verifiers.read(bench.database_url, issuer)
    find = verifiers.tokens.find
    for _ in bench.rounds():
        micros = {
            name: _micros_each(find, [issuer.token(name) for _ in range(_TOKENS)])
            for name in ("RS256", "ES256")
        }
        yield Round(micros["RS256"], _UNCACHED_MICROS, {"ES256": micros["ES256"]})


def _page_token(bench: Bench) -> Rounds:
    verifiers = Verifiers.read(bench.database_url, Issuer(bench.folder))
    texts = [verifiers.sign_page()] * _TIMES
    for _ in bench.rounds():
        verified = _micros_each(verifiers.verify_page, texts)
        yield Round(verified, _micros_each(lambda _: verifiers.sign_page(), texts))


def _with_keys(make: Callable[[Server], Traffic], bench: Bench) -> Rounds:
    """Compare the CPU of a call to a server that asks for keys with that to one that does not."""
    where = ("--database-url", bench.database_url)
    with launch.service(bench.folder, *where, key=launch.make_key(bench.database_url)) as server:
        bench.warm(server)
        sides = [(each, make(each)) for each in (server, bench.service)]
        for _ in bench.rounds():
            measured, against = (_cpu_micros_each(bench, each, load) for each, load in sides)
            yield Round(measured, against)


def _cpu_micros_each(bench: Bench, server: Server, load: Traffic) -> float:
    begin = processes.cpu_seconds(server.pid)
    answered = bench.closed_loop(server, load).answered
    return (processes.cpu_seconds(server.pid) - begin) / answered * 1e6


def _row(name: str, title: str, run: Callable[..., Any]) -> Row:
    return Row(
        name=name,
        title=title,
        measured="CPU",
        against="target",
        unit="µs",
        run=run,
        target=Target(1, at_most=True),
    )


_call_row = partial(Row, measured="with keys", against="without", unit="µs CPU")

ROWS: Final = (
    _row("key-cached", "verifying an API key again", partial(_key, is_cached=True)),
    _row("key-uncached", "verifying each of {api_keys} API keys once", partial(_key, is_cached=False)),
    _row("token-cached", "verifying a JWT again", _cached_token),
    _row("token-uncached", "verifying JWTs that are new, RS256", _uncached_token),
    Row(
        name="page-token",
        title="verifying a page token",
        measured="verify",
        against="sign",
        unit="µs",
        run=_page_token,
    ),
    _call_row(
        name="append-with-keys",
        title="AppendMessage with --auth keys",
        run=partial(_with_keys, traffic.appends),
    ),
    _call_row(
        name="history-with-keys",
        title="GetHistory with --auth keys",
        run=partial(_with_keys, traffic.windows),
    ),
)
