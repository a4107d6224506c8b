"""Authenticate each call, and end the streams whose credentials are revoked or expire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server import call_context
from sessionhistory_server.call_context import Subject
from sessionhistory_server.credentials import api_keys
from sessionhistory_server.credentials.identity import anyone
from sessionhistory_server.errors import UnauthenticatedError, credentials_invalid, credentials_missing
from sessionhistory_server.rpc.streaming.credential import StreamCredential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.usecases.following import Following
    from sessionhistory_server.usecases.key_verification import KeyVerifier

_SCHEME: Final = "Bearer "


class Authentication:
    """The authentication of the calls of a worker.

    Args:
        keys: Verifies API keys; ``None``: calls need no credential.
        following: Refreshes the keys in memory.
        must_name_user: Whether each call must name the user that it acts for.
    """

    def __init__(self, keys: KeyVerifier | None, following: Following, *, must_name_user: bool) -> None:
        self._keys = keys
        self._following = following
        self._must_name_user = must_name_user
        self._anyone = anyone(must_name_user=must_name_user)
        self._streams: set[StreamCredential] = set()

    async def identify(self, method: Method) -> Identity:
        """Return the identity of the current call's caller.

        Raises:
            UnauthenticatedError: the method needs a credential, and the call has no valid one.
            UnavailableError: the credentials cannot be read.
            ResourceExhaustedError: too many calls have unknown credentials.
        """
        if self._keys is None or method.terms.is_open:
            return self._anyone
        call = call_context.current()
        text = _token(call.authorization)
        try:
            identity = self._keys.find(text) or await self._look_up(self._keys, text)
        except UnauthenticatedError:
            call.subject = Subject(credential_id=api_keys.id_of(text))
            raise
        call.subject = Subject(identity.tenant_id, identity.credential_id or "")
        return identity._replace(must_name_user=True) if self._must_name_user else identity

    async def _look_up(self, keys: KeyVerifier, text: str) -> Identity:
        """Return the identity of the holder of a key that may have been created just now."""
        if keys.may_exist(text):
            await self._following.refresh_soon()
        identity = keys.find(text)
        if identity is None:
            raise credentials_invalid()
        return identity

    @contextmanager
    def stream(self, method: Method) -> Iterator[StreamCredential]:
        """Yield the credential of the current call, a stream, and check it until the stream ends."""
        if self._keys is None or method.terms.is_open:
            yield StreamCredential(None)
            return
        credential = StreamCredential(_token(call_context.current().authorization))
        self._streams.add(credential)
        try:
            yield credential
        finally:
            self._streams.discard(credential)

    def check_streams(self) -> None:
        """Refuse the credentials of open streams that are no longer valid."""
        for credential in list(self._streams):
            if refusal := self._refusal_of(credential):
                credential.refuse(refusal)

    def _refusal_of(self, credential: StreamCredential) -> UnauthenticatedError | None:
        if self._keys is None or credential.text is None:
            return None
        try:
            return None if self._keys.find(credential.text) else credentials_invalid()
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
        raise credentials_invalid()
    return authorization[len(_SCHEME) :].strip()
