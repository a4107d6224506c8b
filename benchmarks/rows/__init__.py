"""The rows of the table: the targets of the project, and rows that help to explain them."""

from typing import Final

from benchmarks.rows import (
    citus,
    control,
    depth,
    floods,
    latency,
    postgres,
    prompt_cache,
    resources,
    streams,
    throughput,
    turns,
    verification,
)

ROWS: Final = (
    *streams.ROWS,
    *throughput.ROWS,
    *latency.ROWS,
    *floods.ROWS,
    *turns.ROWS,
    *control.ROWS,
    *depth.ROWS,
    *prompt_cache.ROWS,
    *resources.ROWS,
    *verification.ROWS,
    *postgres.ROWS,
    *citus.ROWS,
)

__all__ = ["ROWS"]
