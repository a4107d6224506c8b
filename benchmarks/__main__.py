"""``python -m benchmarks``: measure the rows and show the table."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import sessionhistory_migrations as migrations
from benchmarks.bench import Bench
from benchmarks.load import h2load
from benchmarks.measurement import measure
from benchmarks.processes import STOP_SIGNALS
from benchmarks.report import machine, plot, table
from benchmarks.report.document import document
from benchmarks.rows import ROWS
from benchmarks.scale import FULL, LONG, QUICK
from sessionhistory_server import embedded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Result, Row
    from benchmarks.scale import Scale

_WIDTH: Final = 132
_NAMES: Final = [row.name for row in ROWS]
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_SIZES: Final = {"quick": QUICK, "full": FULL, "long": LONG}


@click.command(epilog=f"Rows: {', '.join(_NAMES)}.")
@click.option("--quick", "size", flag_value="quick", help="A first impression: less data, one library.")
@click.option("--long", "size", flag_value="long", help="Measure memory over a million RPCs.")
@click.option(
    "--only",
    multiple=True,
    metavar="ROW",
    type=click.Choice(_NAMES),
    help="Measure this row alone; repeat the option for more rows.",
)
@click.option("--rounds", type=click.IntRange(1), help="How often the sides take turns.")
@click.option(
    "--citus-url",
    envvar="SESSION_HISTORY_BENCH_CITUS_URL",
    metavar="URL",
    help="An empty database of a Citus coordinator, for the rows that compare it with one machine.",
)
@click.option("--json", "json_file", type=_FILE, help="Write the figures to this file.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw them to this file, as SVG.")
def main(
    *,
    size: str | None,
    only: Sequence[str],
    rounds: int | None,
    citus_url: str | None,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure Session History in ratios: the two sides of each row take turns on this machine.

    A missed target is not a failure. An invalid measurement of a row is a failure.
    """
    if not h2load.is_installed():
        raise click.ClickException("h2load is missing: install nghttp2-client (Debian) or nghttp2")
    scale = _SIZES[size or "full"]
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit("stopped"))
    # A quick run leaves out the rows without a target.
    rows = [row for row in ROWS if (row.name in only if only else row.target or size != "quick")]
    scale = replace(scale, rounds=rounds or scale.rounds)
    results, described = _run(rows, scale, citus_url)
    shown = Console()
    if not shown.is_terminal:
        shown.width = _WIDTH
    shown.print(table.render(results))
    shown.print(", ".join(f"{name} {value}" for name, value in described.items()), style="dim")
    figures = document(results, described, scale)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if plot_file:
        plot_file.write_text(plot.draw(figures))
    if any(result.status == "invalid" for result in results):
        raise click.ClickException("the measurement of at least one row is invalid")


def _run(rows: Sequence[Row], scale: Scale, citus_url: str | None) -> tuple[list[Result], dict[str, str]]:
    """Measure the rows on a separate Postgres; return the results and the machine."""
    with (
        tempfile.TemporaryDirectory(prefix="session-history-bench-") as folder,
        embedded.running(Path(folder, "data")) as url,
    ):
        migrations.upgrade(url)
        return _measured(rows, scale, Path(folder), url, citus_url), machine.describe(url)


def _measured(
    rows: Sequence[Row], scale: Scale, folder: Path, url: str, citus_url: str | None
) -> list[Result]:
    columns = (TextColumn("{task.description:22}"), BarColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(rows))

        def on_progress(share: float) -> None:
            bar.update(task, completed=len(results) + share)

        with Bench(scale, folder, url, on_progress, citus_url) as bench:
            for row in rows:
                bar.update(task, description=row.name, completed=len(results))
                results.append(measure(row, bench))
                bar.console.print(table.line(results[-1]), style="dim", highlight=False)
    return results


if __name__ == "__main__":
    main()
