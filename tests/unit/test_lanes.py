"""Items that wait in lanes leave in order, and a lane is in one group at a time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_server.store.postgres.lanes import Lanes

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc")),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("give back"), st.integers(0, 3)),
    ),
    max_size=60,
)


class _Model:
    """All items in the order of their arrival, and the lanes that groups hold."""

    def __init__(self) -> None:
        self.items: list[tuple[str, int]] = []
        self.held: list[set[str]] = []

    @property
    def ready(self) -> list[tuple[str, int]]:
        """The items of the lanes that no group holds."""
        return [item for item in self.items if not any(item[0] in lanes for lanes in self.held)]


@given(_STEPS)
@settings(derandomize=True, max_examples=300, deadline=None)
def test_lanes_are_those_of_the_model(steps: list[tuple[str, str | int]]) -> None:
    """A group has the first items of lanes that no other group holds, as many as there is room for."""
    lanes, model = Lanes[tuple[str, int]](), _Model()
    groups: list[list[str]] = []
    for number, (step, value) in enumerate(steps):
        if step == "add":
            lanes.add(value, (str(value), number))
            model.items.append((str(value), number))
        elif step == "take":
            groups.append(_take(lanes, model, int(value)))
        elif groups:
            index = int(value) % len(groups)
            lanes.give_back(groups.pop(index))
            model.held.pop(index)
        assert (lanes.total, lanes.ready) == (len(model.items), len(model.ready))


def _take(lanes: Lanes[tuple[str, int]], model: _Model, maximum: int) -> list[str]:
    ready = model.ready
    group, taken = lanes.take(maximum)
    assert len(group) == min(maximum, len(ready))
    for lane in taken:
        items = [item for item in group if item[0] == lane]
        assert items
        assert items == [item for item in ready if item[0] == lane][: len(items)]
    model.items = [item for item in model.items if item not in group]
    model.held.append({str(lane) for lane in taken})
    assert {item[0] for item in group} == set(taken)
    return [str(lane) for lane in taken]


def test_lanes_take_turns() -> None:
    """A lane with more items than a group holds comes after the lanes that wait."""
    lanes = Lanes[str]()
    for item in ("a1", "a2", "a3", "b1"):
        lanes.add(item[0], item)
    group, taken = lanes.take(2)
    assert group == ["a1", "a2"]
    lanes.give_back(taken)
    assert lanes.take(2)[0] == ["b1", "a3"]


def test_a_lane_without_items_takes_no_memory() -> None:
    """A lane exists while it has items, or while a group holds it."""
    lanes = Lanes[int]()
    lanes.add("a", 1)
    _, taken = lanes.take(1)
    lanes.give_back(taken)
    assert not lanes._items  # noqa: SLF001 - only tests count them
