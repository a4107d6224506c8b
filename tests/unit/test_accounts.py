"""The counts of tenants and users in the memory of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.store.usage import Owner, Usage
from sessionhistory_server.usecases import accounts
from sessionhistory_server.usecases.accounts import Accounts

if TYPE_CHECKING:
    import pytest


def test_names_of_users_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit no more users are kept. Their tenants are, and users that are kept already."""
    monkeypatch.setattr(accounts, "_MAX_ACCOUNTS", 3)
    held = Accounts()
    for name in "abcdef":
        held.see(["acme", Owner("acme", name)])
    assert [*held._accounts] == ["acme", Owner("acme", "a"), Owner("acme", "b")]  # noqa: SLF001
    held.of(Owner("acme", "c")).know(Usage(1, 1))
    held.see(["other"])
    held.note(Owner("acme", "a"), Usage(1, 10))
    held.note(Owner("other", "x"), Usage(1, 10))
    assert held.take_changed() == [Owner("acme", "a")]
    assert held.of("acme").total == Usage(1, 10)
    assert len(held._accounts) == 4  # noqa: SLF001
