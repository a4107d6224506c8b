"""The rows of the table: each target of the project's, and what helps to judge it."""

from typing import Final

from benchmarks.rows import depth, latency, postgres, resources, throughput, turns

ROWS: Final = (
    *throughput.ROWS,
    *latency.ROWS,
    *turns.ROWS,
    *depth.ROWS,
    *resources.ROWS,
    *postgres.ROWS,
)

__all__ = ["ROWS"]
