"""The names in the certificates of clients: ``URI:spiffe://corp/orders`` or ``DNS:orders.internal``.

The names come from the certificate itself. gRPC offers them, too, but cuts them at a NUL: it would show
``orders.internal`` for a certificate of that name with a NUL and ``.example.com`` at its end.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.limits import MAX_CERTIFICATE_NAME_CHARACTERS, MAX_CERTIFICATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_KNOWN: Final = 4_096
"""The maximum number of certificates that a worker keeps in their parsed form."""

_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


class ClientCertificate(NamedTuple):
    """The parts of a client's certificate that identify it."""

    names: tuple[str, ...]
    """In their normal form, each once."""
    expire_time: float
    """In seconds since the Unix epoch."""


_NAMELESS: Final = ClientCertificate((), 0.0)


def normalized(name: str) -> str | None:
    """Return a name in its normal form; ``None``: it is none that can be registered.

    A host is in lower case, in ASCII, and neither a pattern nor an address with a dot at its end. A URI stays
    as it is, because only its owner knows which of its characters may differ.
    """
    kind, _, value = name.partition(":")
    kind = kind.upper()
    if not value.isascii() or len(name) > MAX_CERTIFICATE_NAME_CHARACTERS:
        return None
    if kind == "DNS" and _DNS.fullmatch(value.lower()):
        return f"DNS:{value.lower()}"
    if kind == "URI" and _URI.fullmatch(value):
        return f"URI:{value}"
    return None


class CertificateReader:
    """A reader of certificates. It keeps those that it has read, because a client sends many calls."""

    def __init__(self) -> None:
        self._known: dict[bytes, ClientCertificate] = {}

    def read(self, pem: str) -> ClientCertificate:
        """Return the names and the end of a certificate that TLS has verified.

        It has no names if it is not well-formed, or has too many of them.
        """
        data = pem.encode()
        digest = sha256(data).digest()
        found = self._known.get(digest)
        if found is None:
            while len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            found = self._known[digest] = _parse(data)
        return found


def _parse(pem: bytes) -> ClientCertificate:
    # Imported here, because a server without TLS starts sooner without it.
    from cryptography import x509  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return _NAMELESS
    hosts = (f"DNS:{host}" for host in found.get_values_for_type(x509.DNSName))
    uris = (f"URI:{uri}" for uri in found.get_values_for_type(x509.UniformResourceIdentifier))
    names = _each_once((*uris, *hosts))
    if len(names) > MAX_CERTIFICATE_NAMES:
        return _NAMELESS
    return ClientCertificate(names, certificate.not_valid_after_utc.timestamp())


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(normalized, names))))
