"""The files of TLS: read, refused with a reason, and kept while they are broken."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from sessionhistory_server import certificates
from sessionhistory_server.certificates import CertificateError, CertificateFiles, certificate_files
from sessionhistory_server.config import Settings
from sessionhistory_server.runtime.certificate_log import CertificateLog
from support.certificates import Authority, Pair

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of its own for each test."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """The files of a server's certificate."""
    return authority.issue("server")


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.0)


def _pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def _halved(pair: Pair) -> None:
    pair.cert.write_bytes(pair.cert.read_bytes()[:300])


def _cut(pair: Pair) -> None:
    pair.cert.write_bytes((pair.cert.read_bytes() * 2)[:-40])


def _unknown(pair: Pair) -> None:
    """Give the certificate's key an algorithm that does not exist."""
    ecdsa = bytes.fromhex("06072a8648ce3d0201")
    der = load_pem_x509_certificate(pair.cert.read_bytes()).public_bytes(Encoding.DER)
    pair.cert.write_text(ssl.DER_cert_to_PEM_cert(der.replace(ecdsa, ecdsa[:-1] + b"\x7f")))


def _encrypted(pair: Pair) -> None:
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(_pem(key, BestAvailableEncryption(b"secret")))


_BROKEN = {
    "no certificate": (lambda pair: pair.cert.unlink(), "cert: {cert} cannot be read (No such file"),
    "no key": (lambda pair: pair.key.unlink(), "key: {key} cannot be read (No such file"),
    "an empty file": (lambda pair: pair.cert.write_bytes(b""), "cert: {cert} has no valid certificates"),
    "half of a file": (_halved, "cert: {cert} has no valid certificates"),
    "a chain that is cut": (_cut, "cert: {cert} ends inside a certificate: write the whole file"),
    "an unknown algorithm": (_unknown, "cert: {cert} has a key of a kind that gRPC does not take"),
    "text": (lambda pair: pair.key.write_text("hello"), "key: {key} has no valid private key"),
    "a huge file": (lambda pair: pair.key.write_bytes(b"x" * 2**20 + b"x"), "key: {key} has more than a meb"),
    "a password": (_encrypted, "key: {key} is encrypted: name a key without a password"),
    "another key": (
        lambda pair: pair.key.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1()))),
        "key: {key} is not the key of the first certificate in {cert}",
    ),
    "another curve": (
        lambda pair: pair.key.write_bytes(_pem(ec.generate_private_key(ec.SECP521R1()))),
        "key: {key} is a key of a kind that gRPC does not take",
    ),
    "another kind of key": (
        lambda pair: pair.key.write_bytes(_pem(ed25519.Ed25519PrivateKey.generate())),
        "key: {key} is a key of a kind that gRPC does not take",
    ),
}
_EACH_BREAK = pytest.mark.parametrize("case", _BROKEN)


@_EACH_BREAK
def test_a_file_that_cannot_be_used(pair: Pair, case: str) -> None:
    """The error names the flag, the file and the fault of the file."""
    spoil, said = _BROKEN[case]
    spoil(pair)
    with pytest.raises(CertificateError) as caught:
        CertificateFiles(*pair, None)
    assert str(caught.value).startswith("--tls-" + said.format(cert=pair.cert, key=pair.key))


@_EACH_BREAK
def test_the_last_valid_contents_stay(
    authority: Authority, pair: Pair, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the files are broken, the last contents stay, and one warning says so; then new ones are used."""
    files = CertificateFiles(*pair, None)
    log, before = CertificateLog(files), files.current
    with caplog.at_level(logging.INFO):
        _BROKEN[case][0](pair)
        for _ in range(3):
            log.look()
        assert files.current is before
        (warning,) = caplog.messages
        assert warning.endswith(": the last valid certificate stays in use")
        assert str(pair.cert) in warning or str(pair.key) in warning
        authority.issue("server")
        log.look()
    assert files.current != before
    assert caplog.messages[1:] == ["the server's certificate has changed"]


def test_unchanged_files_are_not_parsed_again(pair: Pair) -> None:
    """A look at files that have not changed makes no new contents."""
    files = CertificateFiles(*pair, None)
    before = files.current
    files.refresh()
    assert files.current is before


def test_authorities_of_clients_change_too(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """New authorities are used; a file without one is refused, and named."""
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.ca.read_bytes())
    files = CertificateFiles(*pair, clients)
    other = Authority(tmp_path / "other")
    clients.write_bytes(other.ca.read_bytes())
    files.refresh()
    assert files.current.client_ca == other.ca.read_bytes()
    clients.write_text("none")
    files.refresh()
    assert files.problem == f"--tls-client-ca: {clients} has no valid certificates: name a file in PEM"
    assert files.current.client_ca == other.ca.read_bytes()


@pytest.mark.parametrize(
    ("days", "said"), [(100, []), (14.5, []), (13.5, ["expires soon"]), (-1, ["has expired"])]
)
def test_a_certificate_that_expires(
    authority: Authority, caplog: pytest.LogCaptureFixture, days: float, said: list[str]
) -> None:
    """One warning says that the certificate expires within two weeks, or has expired."""
    log = CertificateLog(CertificateFiles(*authority.issue("server", days=days), None))
    for _ in range(3):
        log.look()
    assert [text for text in ("expires soon", "has expired") if text in caplog.text] == said
    assert len(caplog.messages) == len(said)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["tls_cert"], "TLS needs both --tls-cert and --tls-key"),
        (["tls_key"], "TLS needs both --tls-cert and --tls-key"),
        (["tls_client_ca"], "TLS needs both --tls-cert and --tls-key"),
        (["tls_cert", "tls_key", "plaintext"], "--plaintext and --tls-cert exclude each other"),
        (["auth"], "--auth certificates needs --tls-client-ca"),
        (["auth", "tls_cert", "tls_key"], "--auth certificates needs --tls-client-ca"),
    ],
)
def test_settings_that_contradict_each_other(pair: Pair, names: list[str], said: str) -> None:
    """A certificate needs its key, and excludes plaintext."""
    values: dict[str, Any] = {
        "tls_cert": pair.cert,
        "tls_key": pair.key,
        "tls_client_ca": pair.cert,
        "plaintext": True,
        "auth": ("keys", "certificates"),
    }
    with pytest.raises(CertificateError, match=said):
        certificate_files(Settings(**{name: values[name] for name in names}))


def test_no_key_is_shown(pair: Pair) -> None:
    """The key is not part of the text that a log or a traceback shows of the contents."""
    assert "PRIVATE" not in repr(CertificateFiles(*pair, None).current)
