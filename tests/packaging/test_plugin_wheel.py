"""The wheel in a user's tests: with the extra for tests, and with the client alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging_support import Environment

INI = "[pytest]\nfilterwarnings = error\n"

# A configuration of the service, and a test that uses it.
SERVICE = """
import pytest
from sessionhistory import Message, Role, SessionFields, SessionHistoryClient

class Chat:
    def __init__(self, history_target):
        self.history = SessionHistoryClient(history_target)

    def hear(self, text):
        message = Message(role=Role.USER, content=text)
        return self.history.append_message("chat", message, new_session=SessionFields())

@pytest.fixture(scope="session")
def chat(session_history_target):
    return Chat(session_history_target)

@pytest.mark.parametrize("text", ["hello", "good morning"])
def test_keeps_what_it_hears(chat, session_history_client, text):
    chat.hear(text)
    (message,) = session_history_client.list_messages("chat")
    assert message.content == text
"""

UNUSED = "def test_unused(): pass"
USED = "def test_used(session_history_client): pass"

# A program that has imported the client before it runs its tests.
IMPORTED_BEFORE = "import sys, sessionhistory, pytest; sys.exit(pytest.main(['-q', '-k', 'unused']))"


@pytest.fixture(scope="module")
def client_alone(environment: Callable[..., Environment]) -> Environment:
    """An environment with the client, pytest, and nothing of the server."""
    made = environment("", "pytest")
    (made.folder / "pytest.ini").write_text(INI)
    (made.folder / "test_both.py").write_text(f"{UNUSED}\n\n{USED}")
    return made


def test_the_extra_is_all_it_takes(environment: Callable[..., Environment]) -> None:
    """With ``session-history[testing]`` the fixtures work, with the oldest pytest that is allowed."""
    made = environment("[testing]", "pytest==8.0.*")
    (made.folder / "pytest.ini").write_text(INI)
    (made.folder / "test_chat.py").write_text(SERVICE)
    done = made.run(made.python, "-m", "pytest", "-q", "test_chat.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_without_the_extra_one_line_says_so(client_alone: Environment) -> None:
    """Without the server a fixture fails with one line that says what to install; other tests pass."""
    done = client_alone.run(client_alone.python, "-m", "pytest", "-q", "test_both.py")
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert (
        "\nthe Session History server is not installed: pip install 'session-history[testing]'\n"
        in done.stdout
    )
    assert "Traceback" not in done.stdout


def test_a_program_may_have_imported_the_client(client_alone: Environment) -> None:
    """A run that starts in a program that has imported the client shows no warning of that."""
    done = client_alone.run(client_alone.python, "-c", IMPORTED_BEFORE)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
