"""Tests of a service with API keys and tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin_support import Project

pytest_plugins = "pytester"

KEYS = """
from datetime import UTC, datetime, timedelta
import pytest
from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionFields, SessionHistoryClient
from sessionhistory.errors import (
    CredentialsExpiredError, CredentialsInvalidError, CredentialsMissingError, ScopeMissingError,
    SessionNotFoundError, UserMismatchError,
)

class Chat:
    def __init__(self, keys):
        self.history = SessionHistoryClient(keys.target, key=keys.make_key())

@pytest.fixture(scope="session")
def chat(session_history_keys):
    return Chat(session_history_keys)

@pytest.mark.parametrize("turn", range(3))
def test_a_service_that_is_configured_once(chat, session_history_client, turn):
    chat.history.create_session("s")
    assert session_history_client.get_session("s")

@pytest.mark.parametrize("turn", range(2))
def test_two_tenants(session_history_keys, session_history_server, turn):
    keys = session_history_keys
    acme, zeta = (
        SessionHistoryClient(keys.target, key=keys.make_key(tenant=name)) for name in ("acme", "zeta")
    )
    with acme, zeta:
        assert acme.create_session("s").created
        with pytest.raises(SessionNotFoundError):
            zeta.get_session("s")
        assert zeta.create_session("s").created
    with SessionHistoryClient(session_history_server.target) as client, pytest.raises(SessionNotFoundError):
        client.get_session("s")

@pytest.mark.asyncio
async def test_what_a_key_allows(session_history_keys, session_history_server):
    keys = session_history_keys
    async def call(key):
        async with AsyncSessionHistoryClient(keys.target, key=key) as client:
            await client.create_session("s", user_id="ada")
    for key, error in (
        (None, CredentialsMissingError),
        ("shk_nothing", CredentialsInvalidError),
        (keys.make_key(scopes=["read"]), ScopeMissingError),
        (keys.make_key(user_id="eve"), UserMismatchError),
        (keys.make_key(expire_time=datetime.now(UTC) - timedelta(days=1)), CredentialsExpiredError),
    ):
        with pytest.raises(error):
            await call(key)
    await call(keys.make_key(user_id="ada", application_id="app", require_user_id=True))

def test_scopes_that_do_not_exist(session_history_keys):
    for scopes in ([], ["all"]):
        with pytest.raises(ValueError, match="scopes: give some of admin, read, write"):
            session_history_keys.make_key(scopes=scopes)

def test_keys_are_managed_as_in_production(session_history_keys):
    admin = session_history_keys.make_key(tenant="managed", scopes=["admin"])
    with SessionHistoryClient(session_history_keys.target, key=admin) as client:
        made = client.create_api_key(["read"])
        with SessionHistoryClient(session_history_keys.target, key=made.secret) as reader:
            assert list(reader.list_sessions()) == []
        assert len(list(client.list_api_keys())) == 2
"""

AFTER_EACH_OTHER = """
import pytest
from sessionhistory import SessionHistoryClient

@pytest.mark.parametrize("turn", range(2))
def test_the_data_of_keys_is_emptied(session_history_keys, session_history_client, turn):
    assert list(session_history_client.list_sessions()) == []
    with SessionHistoryClient(session_history_keys.target, key=session_history_keys.make_key()) as client:
        assert client.create_session("s").created
"""


def test_keys_and_tenants(project: Project) -> None:
    """A real server asks for keys; the tests make them, and each test finds no sessions of another."""
    project.write(test_keys=KEYS, test_after=AFTER_EACH_OTHER)
    project.run("-n", "2").assert_outcomes(passed=10)


def test_no_server_with_keys_unless_a_test_asks(project: Project) -> None:
    """Other runs do not pay for it."""
    project.write(test_other="def test_other(session_history_client): pass")
    project.run().assert_outcomes(passed=1)
