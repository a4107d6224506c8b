"""The command `session-history`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command."""
    # gRPC reads it when it is imported. What it would say below is said by the commands.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
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
