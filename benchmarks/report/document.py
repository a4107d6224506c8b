"""Write the figures as a JSON document, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measurement import Result
    from benchmarks.scale import Scale


def document(results: Sequence[Result], machine: Mapping[str, str], scale: Scale) -> dict[str, Any]:
    """Return the results for JSON: figures are medians of the rounds, and each round has its ratio."""
    return {
        "machine": dict(machine),
        "scale": asdict(scale),
        "rows": [_row(result) for result in results],
    }


def _row(result: Result) -> dict[str, Any]:
    row = result.row
    described = {
        "name": row.name,
        "title": row.title,
        "status": result.status,
        "target": asdict(row.target) if row.target else None,
        "note": result.note,
        "unit": row.unit,
    }
    if not result.rounds:
        return described
    return described | {
        "figures": {row.measured: result.measured, row.against: result.against} | result.others,
        "measured": row.measured,
        "against": row.against,
        "ratio": result.ratio,
        "ratios": result.ratios,
    }
