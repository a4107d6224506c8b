"""Authenticate each call, and end the streams whose credentials are revoked or expire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server import call_context
from sessionhistory_server.call_context import Subject
from sessionhistory_server.credentials import api_keys
from sessionhistory_server.credentials.errors import credential_of_another_kind, credentials_missing
from sessionhistory_server.credentials.identity import anyone
from sessionhistory_server.credentials.verifier import Presented
from sessionhistory_server.errors import UnauthenticatedError
from sessionhistory_server.rpc.streaming.credential import StreamCredential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.credentials.verifier import Verifier
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.peers.connection import Context

_SCHEME: Final = "Bearer "
_CERTIFICATE: Final = "x509_pem_cert"
"""The property of a connection that has its client's certificate. TLS has verified it, if there is one."""


class Authentication:
    """The authentication of the calls of a worker.

    Args:
        keys: Verifies API keys; ``None``: they are not accepted.
        tokens: Verifies JSON Web Tokens; ``None``: they are not accepted.
        certificates: Verifies the certificates of clients; ``None``: they identify no caller. Without any
            verifier, calls need no credential.
        must_name_user: Whether each call must name the user that it acts for.
    """

    def __init__(
        self,
        *,
        keys: Verifier | None,
        tokens: Verifier | None,
        certificates: Verifier | None,
        must_name_user: bool,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._certificates = certificates
        self._is_open = keys is None and tokens is None and certificates is None
        self._must_name_user = must_name_user
        self._anyone = anyone(must_name_user=must_name_user)
        self._streams: set[StreamCredential] = set()

    async def identify(self, method: Method, context: Context) -> Identity:
        """Return the identity of the current call's caller.

        Raises:
            UnauthenticatedError: the method needs a credential, and the call has no valid one.
            UnavailableError: the credentials cannot be read.
            ResourceExhaustedError: too many calls have unknown credentials.
        """
        if self._is_open or method.terms.is_open:
            return self._anyone
        call = call_context.current()
        verifier, text = self._presented(context)
        try:
            identity = verifier.find(text) or await self._look_up(verifier, text)
        except UnauthenticatedError:
            call.subject = Subject(credential_id=verifier.id_of(text))
            raise
        call.subject = Subject(identity.tenant_id, identity.credential_id or "")
        return identity._replace(must_name_user=True) if self._must_name_user else identity

    async def _look_up(self, verifier: Verifier, text: str) -> Identity:
        """Return the identity of the holder of a credential that may have been created just now."""
        if verifier.may_exist(text):
            await verifier.refresh_soon()
        identity = verifier.find(text)
        if identity is None:
            raise verifier.refusal(text)
        return identity

    def _presented(self, context: Context) -> Presented:
        """Return the credential of the current call: that of its metadata, or its connection's certificate.

        Raises:
            UnauthenticatedError: the call has none, or one of a kind that the server does not accept.
        """
        authorization = call_context.current().authorization
        if authorization is None and self._certificates is not None:
            pem = context.auth_context().get(_CERTIFICATE)
            if pem is not None:
                return Presented(self._certificates, next(iter(pem)).decode())
        text = _token(authorization)
        is_key = self._tokens is None or text.startswith(api_keys.PREFIX)
        verifier = self._keys if is_key else self._tokens
        if verifier is None:
            raise credential_of_another_kind()
        return Presented(verifier, text)

    @contextmanager
    def stream(self, method: Method, context: Context) -> Iterator[StreamCredential]:
        """Yield the credential of the current call, a stream, and check it until the stream ends."""
        if self._is_open or method.terms.is_open:
            yield StreamCredential(None)
            return
        credential = StreamCredential(self._presented(context))
        self._streams.add(credential)
        try:
            yield credential
        finally:
            self._streams.discard(credential)

    def check_streams(self) -> None:
        """Refuse the credentials of open streams that are no longer valid."""
        for credential in list(self._streams):
            if credential.presented and (refusal := _refusal_of(credential.presented)):
                credential.refuse(refusal)


def _refusal_of(presented: Presented) -> UnauthenticatedError | None:
    verifier, text = presented
    try:
        return None if verifier.find(text) else verifier.refusal(text)
    except UnauthenticatedError as error:
        return error.with_traceback(None)


def _token(authorization: str | None) -> str:
    """Return the credential of the metadata.

    Raises:
        UnauthenticatedError: there is none, or one of another scheme.
    """
    if authorization is None:
        raise credentials_missing()
    if authorization[: len(_SCHEME)].lower() != _SCHEME.lower():
        raise credential_of_another_kind()
    return authorization[len(_SCHEME) :].strip()
