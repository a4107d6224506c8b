"""Read the files of TLS, and read them again when they change."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.limits import MIB

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
    from cryptography.x509 import Certificate

    from sessionhistory_server.config import Settings

_LOOK_SECONDS: Final = 1.0
_MAX_FILE_BYTES: Final = MIB

# TLS allows other keys, too, but gRPC's clients refuse them.
_CURVES: Final = {"secp256r1", "secp384r1"}
_OTHER_KIND: Final = "a key of a kind that gRPC does not take: use RSA, or ECDSA with P-256 or P-384"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


class CertificateError(Exception):
    """The files of TLS cannot be used. The message names the file and the remedy, and quotes no contents."""


class _File(NamedTuple):
    flag: str
    path: Path

    def read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror})") from error
        if len(data) > _MAX_FILE_BYTES:
            raise self.error("has more than a mebibyte: name a file in PEM")
        return data

    def certificates(self, data: bytes) -> list[Certificate]:
        # Imported here, because a server without TLS starts sooner without it.
        from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

        try:
            found = load_pem_x509_certificates(data)
        except ValueError as error:
            raise self.error("has no valid certificates: name a file in PEM") from error
        if len(found) < data.count(_BEGIN):  # the library passes over the beginning of a certificate
            raise self.error("ends inside a certificate: write the whole file")
        return found

    def public_key(self, certificate: Certificate) -> PublicKeyTypes:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above

        try:
            return certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise self.error(f"has {_OTHER_KIND}") from error

    def private_key(self, data: bytes) -> PrivateKeyTypes:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        try:
            key = load_pem_private_key(data, password=None)
        except TypeError as error:
            raise self.error("is encrypted: name a key without a password") from error
        except UnsupportedAlgorithm as error:
            raise self.error(f"is {_OTHER_KIND}") from error
        except ValueError as error:
            raise self.error("has no valid private key: name a file in PEM") from error
        curve = getattr(key, "curve", None)
        if isinstance(key, RSAPrivateKey) or (curve and curve.name in _CURVES):
            return key
        raise self.error(f"is {_OTHER_KIND}")

    def error(self, fact: str) -> CertificateError:
        return CertificateError(f"{self.flag}: {self.path} {fact}")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The contents of the files, in PEM, which fit together."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expire_time: datetime = field(compare=False)
    """The time at which the first certificate of the chain, which is the server's, expires."""


class CertificateFiles:
    """The files of a server, and the last contents that fitted together.

    A forked process inherits these contents, so it can serve even if the files are broken when it starts.

    Raises:
        CertificateError: the files cannot be used.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None) -> None:
        self._chain = _File("--tls-cert", chain)
        self._key = _File("--tls-key", key)
        self._client_ca = client_ca and _File("--tls-client-ca", client_ca)
        self._looked_at = time.monotonic()
        self.current = self._read()
        self.problem = ""
        """The reason why the present contents of the files are not used; empty if they are used."""

    def refresh(self) -> None:
        """Read the files, unless that was done within the last second.

        If they cannot be used, the last contents stay. Unchanged files are not parsed again.
        """
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            self.current = self._read(known=self.current)
            self.problem = ""
        except CertificateError as error:
            self.problem = str(error)

    def _read(self, known: Certificates | None = None) -> Certificates:
        chain, key = self._chain.read(), self._key.read()
        client_ca = self._client_ca.read() if self._client_ca else None
        if known and (known.chain, known.key, known.client_ca) == (chain, key, client_ca):
            return known
        certificate = self._chain.certificates(chain)[0]
        if self._key.private_key(key).public_key() != self._chain.public_key(certificate):
            raise self._key.error(f"is not the key of the first certificate in {self._chain.path}")
        if self._client_ca and client_ca is not None:
            self._client_ca.certificates(client_ca)
        return Certificates(chain, key, client_ca, certificate.not_valid_after_utc)


def host_of(chain: Path) -> str:
    """Return a host that the first certificate of a file is for.

    Raises:
        CertificateError: the file cannot be used.
    """
    from cryptography.x509 import ExtensionNotFound, SubjectAlternativeName  # noqa: PLC0415 - as above
    from cryptography.x509.general_name import DNSName, IPAddress  # noqa: PLC0415

    file = _File("--tls-cert", chain)
    try:
        extensions = file.certificates(file.read())[0].extensions
        names = extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound as error:
        raise file.error("is for no host: name a certificate with a subject alternative name") from error
    hosts = [*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress))]
    if not hosts:
        raise file.error("is for no host: name a certificate with a subject alternative name")
    return hosts[0].replace("*", "any")


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """Return the files that the settings name; ``None``: the server speaks plaintext.

    Raises:
        CertificateError: the settings contradict each other, or the files cannot be used.
    """
    chain, key = settings.tls_cert, settings.tls_key
    if "certificates" in settings.auth and settings.tls_client_ca is None:
        raise CertificateError(
            "--auth certificates needs --tls-client-ca: without it no client shows a certificate"
        )
    if chain is None and key is None and settings.tls_client_ca is None:
        return None
    if chain is None or key is None:
        raise CertificateError("TLS needs both --tls-cert and --tls-key")
    if settings.plaintext:
        raise CertificateError("--plaintext and --tls-cert exclude each other")
    return CertificateFiles(chain, key, settings.tls_client_ca)
