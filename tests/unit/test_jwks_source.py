"""Keys are read from a file or from a URL, within limits of time and size."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import trustme

from sessionhistory_server.credentials import jwks_source
from sessionhistory_server.credentials.jwks import JwksError
from sessionhistory_server.credentials.jwks_source import JwksFile, JwksUrl
from support.jwks_server import JwksServer, dripping, response, silent
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.jwks_server import Answer

LARGEST = 256 * 1024


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    """A server of keys on this machine."""
    async with JwksServer.running() as running:
        yield running


async def _read(url: str) -> bytes:
    return await asyncio.to_thread(JwksUrl(url).read)


async def test_the_body_of_an_answer(issuer: JwksServer) -> None:
    """With and without a length, or in chunks."""
    for answer in (
        response(b"keys"),
        b"HTTP/1.1 200 OK\r\n\r\nkeys",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nke\r\n2\r\nys\r\n0\r\n\r\n",
    ):
        issuer.answer = answer
        assert await _read(f"{issuer.url}?a=b") == b"keys"
    assert issuer.requests[0].startswith(b"GET /keys.json?a=b HTTP/1.1\r\n")


async def test_the_largest_answer(issuer: JwksServer) -> None:
    """256 KiB, and no byte more."""
    issuer.publish(b"x" * LARGEST)
    assert len(await _read(issuer.url)) == LARGEST
    issuer.publish(b"x" * (LARGEST + 1))
    with pytest.raises(JwksError, match="has more than 256 KiB"):
        await _read(issuer.url)


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 T", "404 Not Found", "500 E", "204 No Content"]
)
async def test_no_other_status_is_accepted(issuer: JwksServer, status: str) -> None:
    """A redirect is not followed."""
    issuer.answer = response(b"keys", status, f"location: {issuer.url}")
    with pytest.raises(JwksError, match=f"answers with the status {status[:3]}"):
        await _read(issuer.url)
    assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b""),
        dripping(b"HTTP/1.1 200 OK\r\nx: "),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n"),
        silent,
    ],
    ids=["status", "header", "body", "length", "nothing"],
)
async def test_an_answer_that_does_not_end(
    issuer: JwksServer, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """All of it has one limit, also if each byte arrives in time. The thread ends, too."""
    monkeypatch.setattr(jwks_source, "FETCH_SECONDS", 0.3)
    issuer.answer = answer
    with pytest.raises(JwksError, match=r"within 0\.3 seconds"):
        await _read(issuer.url)
    await until(lambda: not any(isinstance(each, threading.Timer) for each in threading.enumerate()))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"secret",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nkey",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
)
async def test_an_answer_that_is_broken(issuer: JwksServer, answer: bytes) -> None:
    """The error does not quote it."""
    issuer.answer = answer
    with pytest.raises(JwksError, match="cannot be fetched") as caught:
        await _read(issuer.url)
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_gone() -> None:
    """Nothing listens there."""
    with pytest.raises(JwksError, match=r"cannot be fetched \(Connection refused\)"):
        await _read("http://127.0.0.1:1/")


async def test_a_certificate_must_be_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is signed by an authority of the system, or of the file in SSL_CERT_FILE."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with JwksServer.running(context) as issuer:
        issuer.publish(b"keys")
        with pytest.raises(JwksError, match="CERTIFICATE_VERIFY_FAILED"):
            await _read(issuer.url)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert await _read(issuer.url) == b"keys"
        issuer.answer = dripping(b"HTTP/1.1 200 OK\r\n\r\n")
        monkeypatch.setattr(jwks_source, "FETCH_SECONDS", 0.3)
        with pytest.raises(JwksError, match=r"within 0\.3 seconds"):
            await _read(issuer.url)


@pytest.mark.parametrize(
    "url", ["https://h/k", "https://h:1/k?a=b", "http://127.9.9.9/k", "http://[::1]:1/", "http://localhost"]
)
def test_a_url_of_keys(url: str) -> None:
    """By https, or on this machine."""
    JwksUrl(url)


@pytest.mark.parametrize(
    ("url", "fact"),
    [
        ("http://id.example.com/keys", "must be an https:// URL"),
        ("http://127.0.0.1.example.com/keys", "must be an https:// URL"),
        ("http://10.0.0.1/keys", "must be an https:// URL"),
        ("ftp://h/keys", "must be a file, or an https:// URL"),
        ("file:///etc/keys", "must be a valid URL"),
        ("https://", "must be a valid URL"),
        ("https://h:port/", "must be a valid URL"),
        ("https://h:99999/", "must be a valid URL"),
        ("https://[::1/", "must be a valid URL"),
        ("https://h/a b", "must be a valid URL"),
        ("https://h/ä", "must be a valid URL"),
        ("https://h/a\r\nx: y", "must be a valid URL"),
        ("https://user:secret@h/", "must have no user and no password"),
    ],
)
def test_another_url(url: str, fact: str) -> None:
    """The error does not quote it."""
    with pytest.raises(JwksError, match=fact) as caught:
        JwksUrl(url)
    assert "secret" not in str(caught.value)


def test_a_file(tmp_path: Path) -> None:
    """Of the same size at most; one that is missing is named by its fact only."""
    path = tmp_path / "keys.json"
    source = JwksFile(path)
    with pytest.raises(JwksError, match=r"cannot be read \(No such file or directory\)"):
        source.read()
    path.write_bytes(b"x" * LARGEST)
    assert len(source.read()) == LARGEST
    path.write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(JwksError, match="has more than 256 KiB"):
        source.read()
