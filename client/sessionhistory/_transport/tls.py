"""Read the files of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import grpc

if TYPE_CHECKING:
    import os


def tls_credentials(
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
) -> grpc.ChannelCredentials:
    """Return the ``credentials`` of a client that calls its server with TLS. All files are in PEM.

    Args:
        ca: The file with the authorities that the client trusts; ``None``: those that this system trusts.
        cert: The file with the client's own certificate and its chain, if the server requires one.
        key: The file with the key of that certificate, without a password.

    Raises:
        ValueError: a file cannot be used, or one of ``cert`` and ``key`` is missing. The message names it.
    """
    if (cert is None) != (key is None):
        raise ValueError("a certificate needs its key: name both files, or neither")
    roots = _system_roots() if ca is None else _authorities(Path(ca))
    if cert is None or key is None:
        return grpc.ssl_channel_credentials(roots)
    pair = _pair(Path(cert), Path(key))
    return grpc.ssl_channel_credentials(roots, private_key=pair[1], certificate_chain=pair[0])


def _authorities(path: Path) -> bytes:
    data = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} has no valid certificates: name a file in PEM") from error
    return data


def _pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    data = _read(cert), _read(key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: _refuse(key))
    except OSError as error:
        raise ValueError(f"{cert} and {key} are no certificate and its key: name files in PEM") from error
    return data


def _refuse(key: Path) -> NoReturn:
    raise ValueError(f"{key} is encrypted: name a key without a password")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _system_roots() -> bytes | None:
    """Return the certificates that OpenSSL trusts on this system; ``None``: gRPC uses its own."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else None
