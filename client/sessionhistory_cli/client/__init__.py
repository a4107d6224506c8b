"""The commands that call a running server. They use only the client."""
