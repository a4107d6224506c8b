"""The entry point of the command `session-history`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command."""
    # gRPC's core reads the variable when it is imported. Its log lines are not JSON, and quote bytes of
    # peers.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # Imported here, because the bare install contains only the client.
        from sessionhistory_cli.commands import cli  # noqa: PLC0415
        from sessionhistory_cli.standard_streams import prepare_streams  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(
            f"session-history: {error.name} is missing: install session-history[cli] to call a server,"
            " session-history[server] to run one, or session-history[embedded] to run one with an embedded"
            " Postgres"
        )
    prepare_streams()
    cli(prog_name="session-history")


if __name__ == "__main__":
    main()
