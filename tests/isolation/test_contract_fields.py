"""Each field of a request either names a stored thing, and is tested here, or has a reason why not."""

from __future__ import annotations

from named_fields import CREATING, named_fields, unknown_fields, unused_reasons
from valid_requests import has_valid_request


def test_every_field_is_known() -> None:
    """A new field needs a name with the noun of the thing, or a reason in ``NAMES_NOTHING``."""
    assert unknown_fields() == set()
    assert unused_reasons() == set()


def test_every_rpc_that_names_a_thing_has_a_request() -> None:
    """A new RPC needs one in ``valid_requests``; with it, the other tests prove its isolation."""
    assert [str(field) for field in named_fields() if not has_valid_request(field)] == []


def test_the_exceptions_are_those_that_create() -> None:
    """No other field than the id of a session to create may tell that another user has the id."""
    assert {field.method.name: field.path[-1] for field in named_fields() if field.creates} == CREATING
