"""``python -m benchmarks``: measures the rows and shows the table."""

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
from benchmarks import load, machine, plot, report
from benchmarks.bench import Bench
from benchmarks.measuring import measure
from benchmarks.processes import STOP_SIGNALS
from benchmarks.rows import ROWS
from benchmarks.scale import FULL, LONG, QUICK
from sessionhistory_server import embedded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Result, Row
    from benchmarks.scale import Scale

_WIDTH: Final = 132
_NAMES: Final = [row.name for row in ROWS]
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_SIZES: Final = {"quick": QUICK, "full": FULL, "long": LONG}


@click.command(epilog=f"Rows: {', '.join(_NAMES)}.")
@click.option("--quick", "size", flag_value="quick", help="A first impression: less data, one library.")
@click.option("--long", "size", flag_value="long", help="With a million RPCs where memory is measured.")
@click.option("--only", multiple=True, metavar="ROW", type=click.Choice(_NAMES), help="Repeat it for more.")
@click.option("--rounds", type=click.IntRange(1), help="How often the sides take turns.")
@click.option("--json", "json_file", type=_FILE, help="Write the figures to this file.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw them to this file, as SVG.")
def main(
    *,
    size: str | None,
    only: Sequence[str],
    rounds: int | None,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure Session History in ratios: the two sides of a row take turns, here and now.

    A target that is missed is no failure; a row that could not be measured as it should is.
    """
    if not load.is_installed():
        raise click.ClickException("there is no h2load: install nghttp2-client (Debian) or nghttp2")
    scale = _SIZES[size or "full"]
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit("stopped"))
    # Rows without a target are left to those who have the time.
    rows = [row for row in ROWS if (row.name in only if only else row.target or size != "quick")]
    scale = replace(scale, rounds=rounds or scale.rounds)
    results, described = _run(rows, scale)
    shown = Console()
    if not shown.is_terminal:
        shown.width = _WIDTH
    shown.print(report.table(results))
    shown.print(", ".join(f"{name} {value}" for name, value in described.items()), style="dim")
    document = report.document(results, described, scale)
    if json_file:
        json_file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if plot_file:
        plot_file.write_text(plot.svg(document))
    if any(result.status == "invalid" for result in results):
        raise click.ClickException("not every row could be measured")


def _run(rows: Sequence[Row], scale: Scale) -> tuple[list[Result], dict[str, str]]:
    """Measure rows on a Postgres of their own; return the results and where they are from."""
    with (
        tempfile.TemporaryDirectory(prefix="session-history-bench-") as folder,
        embedded.running(Path(folder, "data")) as url,
    ):
        migrations.upgrade(url)
        return _measured(rows, scale, Path(folder), url), machine.describe(url)


def _measured(rows: Sequence[Row], scale: Scale, folder: Path, url: str) -> list[Result]:
    columns = (TextColumn("{task.description:22}"), BarColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(rows))
        with Bench(
            scale, folder, url, lambda share: bar.update(task, completed=len(results) + share)
        ) as bench:
            for row in rows:
                bar.update(task, description=row.name, completed=len(results))
                results.append(measure(row, bench))
                bar.console.print(report.line(results[-1]), style="dim", highlight=False)
    return results


if __name__ == "__main__":
    main()
