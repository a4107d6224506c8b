"""The command `session-history`."""
