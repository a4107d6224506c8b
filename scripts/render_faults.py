"""Render docs/faults.json, the figures of `make faults`, as the table in docs/guarantees.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[1] / "docs"
_BEGIN, _END = "<!-- figures -->\n", "<!-- /figures -->\n"


def rendered(guarantees: str, scenarios: dict[str, dict[str, Any]]) -> str:
    """Return the page with the table of these scenarios."""
    before, _, rest = guarantees.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{_table(scenarios)}\n{_END}{after}"


def _table(scenarios: dict[str, dict[str, Any]]) -> str:
    if not scenarios:
        return "No long run is recorded yet.\n"
    rows = ["| scenario | figures | test |", "|---|---|---|"]
    rows += [
        f"| {name} | {_words(kept['figures'])} | `{kept['test']}` |"
        for name, kept in sorted(scenarios.items())
    ]
    measured = sorted({_conditions(kept["measured"]) for kept in scenarios.values()})
    return "\n".join([*rows, "", *measured, ""])


def _words(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value:,}" for name, value in sorted(figures.items()))


def _conditions(measured: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {measured[key]}" for name, key in _VERSIONS.items())
    return f"Measured on {measured['date']} with {versions}, on {measured['machine']}."


_VERSIONS = {"Postgres": "postgres", "Python": "python", "grpcio": "grpcio"}


def main() -> None:
    """Rewrite the table in the page."""
    page = _DOCS / "guarantees.md"
    page.write_text(rendered(page.read_text(), json.loads((_DOCS / "faults.json").read_text())))


if __name__ == "__main__":
    main()
