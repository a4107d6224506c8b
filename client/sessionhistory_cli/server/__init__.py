"""The commands that run a server, or use its database. They need the extra `server`."""
