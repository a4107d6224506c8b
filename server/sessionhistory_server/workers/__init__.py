"""Worker processes: several on one port, kept alive by the process that forks them."""
