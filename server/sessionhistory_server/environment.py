"""Environment variables that look like settings and are none."""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Final

from sessionhistory_server.config import PREFIX, Settings, variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of the commands that ask a server, and of the tests.
_OTHERS: Final = ("SERVER", "RECORDINGS", "REQUIRE_RECORDINGS", "REQUIRE_TOOLS", "TEST_DATABASE_URL")

_KNOWN: Final = tuple(variable(name) for name in (*(f.name for f in dataclasses.fields(Settings)), *_OTHERS))

# What Kubernetes gives every container for a service that is called session-history or session-history-….
_KUBERNETES: Final = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_[0-9]+_\w+=|PORT=\w+://)"
)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield the variables with our prefix that nothing of ours reads, each with what may be meant."""
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in _KNOWN and not _KUBERNETES.match(f"{name}={value}"):
            yield name, _nearest(name)


def _nearest(name: str) -> str | None:
    # Without the prefix, which makes all of them alike.
    endings = [known.removeprefix(PREFIX) for known in _KNOWN]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1)
    return PREFIX + close[0] if close else None
