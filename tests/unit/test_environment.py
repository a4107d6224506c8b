"""The environment variables about which the server warns."""

from __future__ import annotations

import dataclasses

import pytest

from sessionhistory_server.config import Settings, variable
from sessionhistory_server.runtime.environment import unknown_variables

_KNOWN = [
    *(variable(field.name) for field in dataclasses.fields(Settings)),
    "SESSION_HISTORY_SERVER",
    "SESSION_HISTORY_RECORDINGS",
    "SESSION_HISTORY_REQUIRE_RECORDINGS",
    "SESSION_HISTORY_REQUIRE_TOOLS",
    "SESSION_HISTORY_TEST_DATABASE_URL",
    "SESSION_HISTORY_TEST_POOLER",
]
_OF_KUBERNETES = {
    "SESSION_HISTORY_SERVICE_HOST": "10.0.0.1",
    "SESSION_HISTORY_SERVICE_PORT": "50051",
    "SESSION_HISTORY_SERVICE_PORT_GRPC": "50051",
    "SESSION_HISTORY_PORT": "tcp://10.0.0.1:50051",
    "SESSION_HISTORY_PORT_50051_TCP": "tcp://10.0.0.1:50051",
    "SESSION_HISTORY_PORT_50051_TCP_ADDR": "10.0.0.1",
    "SESSION_HISTORY_METRICS_SERVICE_HOST": "10.0.0.2",
    "SESSION_HISTORY_METRICS_PORT": "tcp://10.0.0.2:9464",
}


@pytest.mark.parametrize("known", [dict.fromkeys(_KNOWN, "x"), _OF_KUBERNETES, {"PATH": "x", "HISTORY": "x"}])
def test_what_somebody_reads_is_no_mistake(known: dict[str, str]) -> None:
    """There is no warning about settings, other parts' variables, Kubernetes' variables or foreign names."""
    assert list(unknown_variables(known)) == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SESSION_HISTORY_DATABASE_ULR", "SESSION_HISTORY_DATABASE_URL"),
        ("SESSION_HISTORY_POOLSIZE", "SESSION_HISTORY_POOL_SIZE"),
        ("SESSION_HISTORY_MAX_MESSAGES", "SESSION_HISTORY_HISTORY_MAX_MESSAGES"),
        ("SESSION_HISTORY_LOGLEVEL", "SESSION_HISTORY_LOG_LEVEL"),
        ("SESSION_HISTORY_XYZZY", None),
        ("SESSION_HISTORY_", None),
    ],
)
def test_the_nearest_name_is_suggested(name: str, nearest: str | None) -> None:
    """A misspelt name comes with the name that is probably meant; a name like no other comes without."""
    assert list(unknown_variables({name: "1"})) == [(name, nearest)]


def test_a_port_is_no_address_of_kubernetes() -> None:
    """A variable that looks like a port setting is reported, because there is no such setting."""
    port = {"SESSION_HISTORY_PORT": "8080"}
    assert [name for name, _ in unknown_variables(port)] == list(port)
