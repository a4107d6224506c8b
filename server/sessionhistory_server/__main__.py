"""The command `session-history`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from sessionhistory_server.cli import cli  # noqa: PLC0415 - the bare install is the client alone
    except ModuleNotFoundError as error:
        sys.exit(
            f"session-history: {error.name} is missing: install session-history[cli] to ask a server,"
            " session-history[server] to run one, or session-history[embedded] for one with a Postgres"
            " of its own"
        )
    cli(prog_name="session-history")


if __name__ == "__main__":
    main()
