"""The server's side of TLS: gRPC asks for the certificates at each handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from sessionhistory_server.certificates import CertificateFiles, Certificates


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files: each handshake uses their last valid contents.

    Connections keep the certificate with which they began. gRPC allows TLS 1.2 and 1.3 only. If there are
    authorities of clients, it requires and verifies a client's certificate.
    """
    used = files.current

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Return the contents if they have changed. Threads of gRPC call this, one at a time."""
        nonlocal used
        files.refresh()
        if files.current is used:
            return None
        used = files.current
        return _configuration(used)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        changed,  # type: ignore[arg-type] # the stub lacks None, which gRPC allows
        require_client_authentication=used.client_ca is not None,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.client_ca
    )
