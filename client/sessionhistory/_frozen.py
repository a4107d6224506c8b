"""Frozen dataclasses at the price of others."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import Any, TypeVar, cast

T = TypeVar("T")


def maker(kind: type[T]) -> type[T]:
    """Return what makes values of a frozen dataclass with slots, from all of its fields by name.

    What the class has for that sets each field by a call, to get past what keeps it frozen, at three times
    the price. This one makes a twin that is not frozen, which has the same slots and so may turn into it.
    """

    def freeze(made: Any) -> None:  # noqa: ANN401 - of a class made below
        made.__class__ = kind

    twin = make_dataclass(
        kind.__name__,
        [field.name for field in fields(cast("Any", kind))],
        namespace={"__post_init__": freeze},
        kw_only=True,
        slots=True,
    )
    return cast("type[T]", twin)
