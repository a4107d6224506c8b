"""Worker processes, which share one port. The supervisor, which forks them, replaces those that die."""
