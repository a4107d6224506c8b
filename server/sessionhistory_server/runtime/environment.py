"""Find environment variables that look like settings but are none."""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Final

from sessionhistory_server.config import PREFIX, Settings, variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The variables of the commands that call a server, and of the tests.
_OTHERS: Final = (
    "CA",
    "CERT",
    "CONTEXT",
    "KEY",
    "SERVER",
    "TLS",
    "RECORDINGS",
    "REQUIRE_RECORDINGS",
    "REQUIRE_TOOLS",
    "TEST_DATABASE_URL",
    "TEST_POOLER",
)

_KNOWN: Final = tuple(variable(name) for name in (*(f.name for f in dataclasses.fields(Settings)), *_OTHERS))

# The variables that Kubernetes sets for a service with the name session-history or session-history-….
_KUBERNETES: Final = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_[0-9]+_\w+=|PORT=\w+://)"
)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield variables with the settings' prefix that no program reads, each with the nearest known name."""
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in _KNOWN and not _KUBERNETES.match(f"{name}={value}"):
            yield name, _nearest(name)


def _nearest(name: str) -> str | None:
    # Compared without the prefix, which all names share.
    endings = [known.removeprefix(PREFIX) for known in _KNOWN]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1)
    return PREFIX + close[0] if close else None
