"""Certificate authorities of tests, and the files of their certificates."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_HOSTS = ("127.0.0.1", "localhost")
_SEQUENCE = 0x30
_TAGS = {b"DNS:": 0x82, b"URI:": 0x86}


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    cert: Path
    key: Path

    @property
    def flags(self) -> tuple[str | Path, ...]:
        """The flags of `serve` for the pair."""
        return ("--tls-cert", self.cert, "--tls-key", self.key)

    @property
    def settings(self) -> dict[str, Path]:
        """The settings of a server with the pair."""
        return {"tls_cert": self.cert, "tls_key": self.key}


def alternative(*names: str | bytes) -> bytes:
    """Return an extension of alternative names in DER. Each begins with its kind: ``DNS:`` or ``URI:``."""
    encoded = [name.encode() if isinstance(name, str) else name for name in names]
    parts = [_der(_TAGS[name[:4]], name[4:]) for name in encoded]
    return _der(_SEQUENCE, b"".join(parts))


def _der(tag: int, data: bytes) -> bytes:
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2)
    return bytes([tag]) + length + data


class Authority:
    """An authority whose certificate is in the file ``ca``, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str, days: float = 365) -> Pair:
        """Write the files of a new certificate, in place of earlier ones with this name.

        Args:
            name: The beginning of the names of the files.
            hosts: The hosts, or the client, that the certificate is for; none: this machine.
            days: When it expires; below 0, it has expired.
        """
        end = datetime.now(UTC) + timedelta(days=days)
        issued = self._authority.issue_cert(
            *(hosts or _HOSTS), not_before=min(end, datetime.now(UTC)) - timedelta(days=1), not_after=end
        )
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        # The key first: a server that reads between the two sees a pair that does not fit.
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        return pair

    def issue_for(
        self,
        name: str,
        alternative_names: bytes | None,
        *,
        days: float = 365,
        begins_in_days: float = -1,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        signer: Pair | None = None,
        claimed: Authority | None = None,
    ) -> Pair:
        """Write the files of a client's certificate with any names, also such as no authority would accept.

        Args:
            name: The beginning of the names of the files, and the certificate's common name.
            alternative_names: The extension in DER, as ``alternative`` makes it; ``None``: none.
            days: When it expires; below 0, it has expired.
            begins_in_days: When it begins; above 0, it is not valid yet.
            usage: The purpose of the certificate.
            signer: The pair that signs in place of the authority, and joins the chain.
            claimed: The authority that the certificate names as its issuer, although another one signs it.
        """
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        own = (self._authority.cert_pem.bytes(), self._authority.private_key_pem.bytes())
        chain, signing_key = (signer.cert.read_bytes(), signer.key.read_bytes()) if signer else own
        issuer = x509.load_pem_x509_certificate(claimed.ca.read_bytes() if claimed else chain)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=min(days, 0) + begins_in_days))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternative_names is not None:
            san = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, alternative_names)
            builder = builder.add_extension(san, critical=False)
        signing: Any = load_pem_private_key(signing_key, password=None)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        signed = builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM)
        pair.cert.write_bytes(signed + chain if signer else signed)
        return pair

    def itself(self) -> Pair:
        """Return the files of the authority's own certificate, which it has signed itself."""
        key = self._folder / "ca.key"
        self._authority.private_key_pem.write_to_path(str(key))
        return Pair(self.ca, key)

    def credentials(self, client: Pair | None = None) -> grpc.ChannelCredentials:
        """Return a client's credentials that trust this authority, with a certificate of the client."""
        key, chain = (client.key.read_bytes(), client.cert.read_bytes()) if client else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), key, chain)

    def variables(self, client: Pair) -> dict[str, str]:
        """Return the environment variables that name the files of a client."""
        return {
            "SESSION_HISTORY_CA": str(self.ca),
            "SESSION_HISTORY_CERT": str(client.cert),
            "SESSION_HISTORY_KEY": str(client.key),
        }

    def context(self, client: Pair | None = None) -> ssl.SSLContext:
        """Return the same for sockets, with HTTP/2 as the only protocol."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["h2"])
        if client:
            context.load_cert_chain(client.cert, client.key)
        return context
