"""Log once for the whole server that its certificate was replaced, cannot be read, or expires."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.certificates import CertificateFiles

_WARNING_DAYS: Final = 14

_log = logging.getLogger(__name__)


class CertificateLog:
    """The log of the certificate files. It repeats no problem, and warns of the expiry once a day."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._certificates = files.current
        self._problem = ""
        self._days: int | None = None

    def look(self) -> None:
        """Read the files again if that is due, and log the changes."""
        self._files.refresh()
        # Compared with its own memory, because a handshake may have read the files first.
        if self._files.problem != self._problem:
            self._problem = self._files.problem
            if self._problem:
                _log.warning("%s: the last valid certificate stays in use", self._problem)
        if self._files.current is not self._certificates:
            self._certificates, self._days = self._files.current, None
            _log.info("the server's certificate has changed", extra=self._expiry())
        self._warn_of_expiry()

    def _warn_of_expiry(self) -> None:
        days = (self._certificates.expire_time - datetime.now(UTC)).days
        if days < _WARNING_DAYS and days != self._days:
            self._days = days
            text = "expires soon" if days >= 0 else "has expired, so clients refuse it"
            _log.warning("the server's certificate %s: replace its files", text, extra=self._expiry())

    def _expiry(self) -> dict[str, str]:
        return {"expire_time": self._certificates.expire_time.isoformat()}
