"""The option that the client's and the server's commands have in common."""

from __future__ import annotations

from typing import Final

import click

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
