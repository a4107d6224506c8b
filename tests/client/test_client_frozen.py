"""Frozen dataclasses that the fast constructor makes equal those that the classes make."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest

from sessionhistory import Message, Role
from sessionhistory._codec.frozen import fast_constructor

SLOW = Message(role=Role.USER, content="hello", message_id="m1", metadata={"a": [1]}, sequence=7)
VALUES: dict[str, Any] = {field.name: getattr(SLOW, field.name) for field in fields(SLOW)}


@pytest.fixture(scope="module")
def fast() -> Message:
    """A message of the fast constructor."""
    return fast_constructor(Message)(**VALUES)


def test_it_is_of_the_class_and_equal(fast: Message) -> None:
    """The message has the class, equals the ordinary one and prints the same."""
    assert type(fast) is Message
    assert (fast, repr(fast), asdict(fast)) == (SLOW, repr(SLOW), asdict(SLOW))


def test_it_is_frozen(fast: Message) -> None:
    """The message cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        fast.content = "other"  # type: ignore[misc]


def test_it_can_be_copied_changed_and_pickled(fast: Message) -> None:
    """The message can be copied, replaced and pickled like any dataclass."""
    assert copy.deepcopy(fast) == SLOW
    assert replace(fast, content=None) == replace(SLOW, content=None)
    assert pickle.loads(pickle.dumps(fast)) == SLOW


def test_no_field_may_be_forgotten() -> None:
    """A missing field of the class is an error."""
    with pytest.raises(TypeError, match="create_time"):
        fast_constructor(Message)(**{name: value for name, value in VALUES.items() if name != "create_time"})
