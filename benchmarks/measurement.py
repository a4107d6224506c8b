"""Measure a row of the table: two figures, in alternating rounds, and the target of their ratio."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.errors import InvalidError, SkippedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from benchmarks.bench import Bench
    from benchmarks.scale import Scale


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a ratio: at least ``limit``, better ``aim``; with ``at_most``, at most these."""

    limit: float
    aim: float | None = None
    at_most: bool = False

    def status(self, ratio: float) -> str:
        """Return `missed`, `met` or `aim reached`."""
        if self.aim is not None and self._reaches(self.aim, ratio):
            return "aim reached"
        return "met" if self._reaches(self.limit, ratio) else "missed"

    def _reaches(self, value: float, ratio: float) -> bool:
        return ratio <= value if self.at_most else ratio >= value

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.limit:g}" + ("" if self.aim is None else f", aim {self.aim:g}")


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of one round of both sides. ``others`` are further sides, by name."""

    measured: float
    against: float
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table: a measured side, and the side that it is compared with.

    The texts may name fields of the scale in braces. ``run`` yields the rounds, and may return a note.
    """

    name: str
    title: str
    measured: str
    against: str
    unit: str
    run: Callable[[Bench], Generator[Round, None, str | None]]
    target: Target | None = None

    def at(self, scale: Scale) -> Row:
        """Return the row with the sizes of a scale in its texts."""
        texts = {
            name: getattr(self, name).format_map(scale.names) for name in ("title", "measured", "against")
        }
        return replace(self, **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of a row. A result without rounds has no figures, and its note says why."""

    row: Row
    status: str
    note: str = ""
    rounds: Sequence[Round] = ()

    @property
    def measured(self) -> float:
        """The median of the measured side."""
        return median(one.measured for one in self.rounds)

    @property
    def against(self) -> float:
        """The median of the side that the row is compared with."""
        return median(one.against for one in self.rounds)

    @property
    def others(self) -> dict[str, float]:
        """The medians of the further sides."""
        names = self.rounds[0].others if self.rounds else ()
        return {name: median(one.others[name] for one in self.rounds) for name in names}

    @property
    def ratios(self) -> list[float]:
        """The ratios of the rounds, ascending."""
        return sorted(one.measured / one.against for one in self.rounds)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)


def measure(row: Row, bench: Bench) -> Result:
    """Measure a row. An error becomes the result of this row, so that the other rows go on."""
    row = row.at(bench.scale)
    rounds: list[Round] = []
    try:
        with contextlib.closing(row.run(bench)) as run:
            note = _collect(run, rounds, bench)
    except SkippedError as skipped:
        return Result(row=row, status="skipped", note=str(skipped))
    except InvalidError as invalid:
        return Result(row=row, status="invalid", note=str(invalid))
    except Exception as error:  # noqa: BLE001 - a defect in one row must not lose the other rows
        traceback.print_exc()
        return Result(row=row, status="invalid", note=f"{type(error).__name__}: {error}")
    result = Result(row=row, status="no target", note=note, rounds=rounds)
    return replace(result, status=row.target.status(result.ratio)) if row.target else result


def _collect(run: Generator[Round, None, str | None], rounds: list[Round], bench: Bench) -> str:
    while True:
        try:
            rounds.append(next(run))
        except StopIteration as end:
            return end.value or ""
        bench.on_progress(len(rounds) / bench.scale.rounds)
